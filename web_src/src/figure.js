// A body or an avatar on the screen. Its bones follow the joints as models/avatars/retarget.py has them follow: D = G[source] A.

import { Box3, Matrix3, Matrix4, Quaternion, Vector3 } from 'three'
import { loadGlb } from './glb.js'
import { JOINTS } from './joints.js'

const CLAY = '#c4b2a3'
const DIRECTIONS = []
for (const x of [-1, 0, 1]) for (const y of [-1, 0, 1]) for (const z of [-1, 0, 1]) if (x || y || z) DIRECTIONS.push([x, y, z])

export async function loadFigure(url, drive) {
  const { scene } = await loadGlb(url)
  return new Figure(scene, drive)
}

export class Figure {
  constructor(scene, drive) {
    this.object = scene
    this.meshes = []
    scene.traverse((node) => node.isSkinnedMesh && this.meshes.push(node))
    this.meshes.forEach(dress)
    this.bones = this.meshes[0].skeleton.bones
    this.source = drive.source
    this.align = drive.align.map((rows) => new Quaternion().setFromRotationMatrix(new Matrix4().setFromMatrix3(new Matrix3().set(...rows))))
    this.twists = drive.twists.map((t) => ({ ...t, axis: new Vector3(...t.axis) }))
    this.above = this.bones.map((bone) => this.bones.indexOf(bone.parent))
    this.boneOf = JOINTS.map((_, joint) => this.source.indexOf(joint)) // -1 where a figure lacks the joint
    this.height = new Box3().setFromObject(scene).max.y
    this.contacts = this.meshes.map(contactPoints)
  }

  /** Moves the bones; the lowest point of the figure then lies at the pose's height above the floor. */
  show(pose) {
    const world = pose.globals()
    const turns = this.source.map((joint, i) => world[joint].clone().multiply(this.align[i]))
    for (const twist of this.twists) turns[twist.bone] = this.twisted(twist, turns)
    this.bones.forEach((bone, i) => {
      const above = this.above[i]
      bone.quaternion.copy(above < 0 ? turns[i] : turns[above].clone().invert().multiply(turns[i]))
    })
    const root = this.bones[this.above.indexOf(-1)]
    root.position.set(pose.place.x, 0, pose.place.z)
    this.object.updateMatrixWorld(true)
    root.position.y = pose.place.y - this.lowest()
    this.object.updateMatrixWorld(true)
  }

  /** A twist bone takes its share of the turn from its limb to the hand, foot or socket (models/avatars/twist.py). */
  twisted({ limb, other, axis, share }, turns) {
    const free = (i) => turns[i].clone().multiply(this.align[i].clone().invert())
    const along = axis.clone().applyQuaternion(turns[limb])
    const between = free(other).multiply(free(limb).invert())
    let angle = 2 * Math.atan2(new Vector3(between.x, between.y, between.z).dot(along), between.w)
    angle = Math.atan2(Math.sin(angle), Math.cos(angle))
    return new Quaternion().setFromAxisAngle(along, angle * share).multiply(turns[limb])
  }

  /** Position of a joint in the world, or null where the figure lacks it. */
  joint(number) {
    const bone = this.bones[this.boneOf[number]]
    return bone ? bone.getWorldPosition(new Vector3()) : null
  }

  lowest() {
    let low = Infinity
    const point = new Vector3()
    this.meshes.forEach((mesh, m) => {
      for (const index of this.contacts[m]) {
        point.fromBufferAttribute(mesh.geometry.attributes.position, index)
        low = Math.min(low, mesh.applyBoneTransform(index, point).applyMatrix4(mesh.matrixWorld).y)
      }
    })
    return low
  }

  dispose() {
    this.object.removeFromParent()
    for (const mesh of this.meshes) {
      mesh.geometry.dispose()
      mesh.material.map?.dispose()
      mesh.material.dispose()
      mesh.skeleton.dispose()
    }
  }
}

/** How every figure is drawn. */
export function dress(mesh) {
  mesh.frustumCulled = false // its bounds are those of the rest pose
  mesh.castShadow = true
  if (!mesh.material.map && mesh.material.name === 'body') mesh.material.color.set(CLAY)
}

/** Vertices that lie outermost in 26 directions among those that each bone moves most: the lowest one is among them. */
function contactPoints(mesh) {
  const { position, skinIndex, skinWeight } = mesh.geometry.attributes
  const best = new Map()
  const point = new Vector3()
  for (let v = 0; v < position.count; v++) {
    let slot = 0
    for (let k = 1; k < 4; k++) if (skinWeight.getComponent(v, k) > skinWeight.getComponent(v, slot)) slot = k
    const bone = skinIndex.getComponent(v, slot)
    if (!best.has(bone)) best.set(bone, DIRECTIONS.map(() => [-Infinity, 0]))
    point.fromBufferAttribute(position, v)
    best.get(bone).forEach((found, d) => {
      const [x, y, z] = DIRECTIONS[d]
      const along = x * point.x + y * point.y + z * point.z
      if (along > found[0]) [found[0], found[1]] = [along, v]
    })
  }
  return [...new Set([...best.values()].flat().map(([, vertex]) => vertex))]
}
