// The dots that are dragged, and what dragging each of them does to the pose.

import { BufferAttribute, BufferGeometry, CanvasTexture, Group, Plane, Points, PointsMaterial, Quaternion, Vector3 } from 'three'
import { arc, reach, share } from './ik.js'
import { JOINTS, NUMBER } from './joints.js'

const COLORS = { left: [1.0, 0.62, 0.27], right: [0.33, 0.72, 1.0], middle: [0.93, 0.93, 0.9], chosen: [1.0, 0.95, 0.35] }
const LIMBS = { wrist: ['shoulder', 'elbow'], ankle: ['hip', 'knee'] } // end -> the two joints that bring it to a point
const LARGE = ['pelvis', 'head', 'left_wrist', 'right_wrist', 'left_ankle', 'right_ankle']
const SIZES = { large: 15, small: 9 } // pixels
const NEAR = { mouse: 13, touch: 26 } // pixels from a dot that still mean it
const HEAD_UP = 0.12 // metres from the head joint to its dot

export class Handles {
  constructor() {
    this.object = new Group()
    this.sets = ['small', 'large'].map((size) => {
      const joints = JOINTS.map((_, j) => j).filter((j) => LARGE.includes(JOINTS[j]) === (size === 'large'))
      const geometry = new BufferGeometry()
      geometry.setAttribute('position', new BufferAttribute(new Float32Array(joints.length * 3), 3))
      geometry.setAttribute('color', new BufferAttribute(new Float32Array(joints.length * 3), 3))
      const material = new PointsMaterial({
        size: SIZES[size] * Math.min(window.devicePixelRatio, 2), map: dot(), vertexColors: true, sizeAttenuation: false, transparent: true,
        depthTest: false, depthWrite: false, alphaTest: 0.05, fog: false, toneMapped: false
      })
      const points = new Points(geometry, material)
      points.renderOrder = 10
      points.frustumCulled = false
      this.object.add(points)
      return { joints, points }
    })
    this.positions = JOINTS.map(() => null)
    this.chosen = -1
  }

  /** Puts the dots where the figure's joints are. */
  follow(figure) {
    this.positions = JOINTS.map((_, j) => figure.joint(j))
    const { head } = NUMBER
    if (this.positions[head]) {
      const up = new Vector3(0, HEAD_UP, 0).applyQuaternion(figure.bones[figure.boneOf[head]].getWorldQuaternion(new Quaternion()))
      this.positions[head].add(up)
    }
    for (const { joints, points } of this.sets) {
      const { position, color } = points.geometry.attributes
      joints.forEach((j, i) => {
        position.setXYZ(i, ...(this.positions[j] ?? new Vector3(0, -99, 0)).toArray())
        color.setXYZ(i, ...(j === this.chosen ? COLORS.chosen : COLORS[JOINTS[j].match(/^(left|right)_/)?.[1] ?? 'middle']))
      })
      position.needsUpdate = color.needsUpdate = true
    }
  }

  /** Whether some dot lies outside the picture. */
  hidden(camera) {
    camera.updateMatrixWorld()
    return this.positions.some((position) => position?.clone().project(camera).toArray().some((x) => Math.abs(x) > 1))
  }

  /** The joint whose dot lies nearest to a point of the canvas (pixels), or -1. */
  pick(x, y, camera, width, height, pointer) {
    let best = -1
    let nearest = NEAR[pointer === 'touch' ? 'touch' : 'mouse']
    const at = new Vector3()
    this.positions.forEach((position, j) => {
      if (!position) return
      at.copy(position).project(camera)
      if (at.z > 1) return
      const large = LARGE.includes(JOINTS[j]) ? 0.75 : 1 // of two dots at one place the large one is meant
      const distance = Math.hypot(((at.x + 1) / 2) * width - x, ((1 - at.y) / 2) * height - y) * large
      if (distance < nearest) [best, nearest] = [j, distance]
    })
    return best
  }
}

/** Starts a drag; the returned function moves the pose after a ray from the camera and returns nothing. */
export function startDrag(joint, figure, pose, camera, handle, whole, ray) {
  const from = pose.clone()
  const plane = new Plane().setFromNormalAndCoplanarPoint(camera.getWorldDirection(new Vector3()), handle)
  const at = JOINTS.map((_, j) => figure.joint(j))
  const move = moves(joint, at, from, handle, whole)
  const target = new Vector3()
  const grip = ray.intersectPlane(plane, target) ? handle.clone().sub(target) : new Vector3() // nobody hits a dot in its very middle
  return (ray) => {
    if (!ray.intersectPlane(plane, target)) return
    Object.assign(pose, from.clone())
    move(pose, target.add(grip))
  }
}

function moves(joint, at, from, handle, whole) {
  const name = JOINTS[joint]
  const [, side, part] = name.match(/^(?:(left|right)_)?(.+)$/)
  if (name === 'pelvis') return (pose, target) => movePelvis(pose, target, at, whole)
  if (LIMBS[part]) return (pose, target) => moveEnd(pose, target, side, part, at, part === 'ankle')
  if (part === 'elbow' || part === 'knee') return aim([`${side}_${part === 'elbow' ? 'shoulder' : 'hip'}`], at[joint])
  if (part === 'foot') return aim([`${side}_ankle`], at[joint])
  if (part === 'shoulder') return aim([`${side}_collar`], at[joint])
  if (name === 'head') return aim(['neck', 'head'], handle)
  if (part === 'neck' || name === 'spine3') return aim(['spine1', 'spine2', 'spine3'], at[joint])
  if (name === 'spine2') return aim(['spine1', 'spine2'], at[joint])
  if (name === 'spine1' || part === 'hip') return aim(['pelvis'], at[joint])
  return aim([`spine3`], at[joint])

  /** Turns a chain of joints in equal shares, so that what hangs on it points to the target. */
  function aim(chain, tip) {
    return (pose, target) => {
      const start = at[NUMBER[chain[0]]]
      const part = share(arc(tip.clone().sub(start), target.clone().sub(start)), 1 / chain.length)
      for (const link of chain) pose.turn(NUMBER[link], part)
    }
  }
}

function moveEnd(pose, target, side, part, at, keepEnd) {
  const [first, second] = LIMBS[part].map((name) => NUMBER[`${side}_${name}`])
  const end = NUMBER[`${side}_${part}`]
  const world = pose.globals()
  const trunk = world[part === 'wrist' ? NUMBER.spine3 : NUMBER.pelvis]
  const forward = new Vector3(0, part === 'wrist' ? -0.3 : 0, part === 'wrist' ? -1 : 1).applyQuaternion(trunk)
  const { upper, lower } = reach(at[first], at[second], at[end], target, forward)
  pose.turn(first, upper)
  pose.turn(second, lower.clone().multiply(upper.clone().invert())) // it has already turned with the first
  if (keepEnd) pose.turn(end, world[end].clone().multiply(pose.globals()[end].clone().invert()))
}

/** Moves the hips; the feet stay where they are, unless the whole figure is to move. */
function movePelvis(pose, target, at, whole) {
  const shift = target.clone().sub(at[0])
  pose.place.x += shift.x
  pose.place.z += shift.z
  if (whole) {
    pose.place.y = Math.max(0, pose.place.y + shift.y)
    return
  }
  for (const side of ['left', 'right']) {
    const ankle = at[NUMBER[`${side}_ankle`]]
    if (ankle) moveEnd(pose, ankle.clone().sub(shift), side, 'ankle', at, true) // seen from the hips, the feet move the other way
  }
}

function dot() {
  const canvas = document.createElement('canvas')
  canvas.width = canvas.height = 64
  const pen = canvas.getContext('2d')
  pen.beginPath()
  pen.arc(32, 32, 24, 0, 2 * Math.PI)
  pen.fillStyle = 'rgba(255,255,255,0.92)'
  pen.fill()
  pen.lineWidth = 7
  pen.strokeStyle = 'rgba(10,12,16,0.85)'
  pen.stroke()
  return new CanvasTexture(canvas)
}
