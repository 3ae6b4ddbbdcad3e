// SMPL's first 22 joints, and a pose as the editor holds it: what was touched by hand over the pose that came in.

import { Quaternion, Vector3 } from 'three'

export const JOINTS = [
  'pelvis', 'left_hip', 'right_hip', 'spine1', 'left_knee', 'right_knee', 'spine2', 'left_ankle', 'right_ankle', 'spine3',
  'left_foot', 'right_foot', 'neck', 'left_collar', 'right_collar', 'head', 'left_shoulder', 'right_shoulder',
  'left_elbow', 'right_elbow', 'left_wrist', 'right_wrist'
]
export const PARENTS = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19]
export const NUMBER = Object.fromEntries(JOINTS.map((name, i) => [name, i]))
export const MIRROR = JOINTS.map((name) => NUMBER[otherSide(name)])

export function otherSide(name) {
  return name.startsWith('left_') ? 'right_' + name.slice(5) : name.startsWith('right_') ? 'left_' + name.slice(6) : name
}

/** Rotvec (axis times angle, radians) to Quaternion. */
export function fromRotvec([x, y, z]) {
  const axis = new Vector3(x, y, z)
  const angle = axis.length()
  return angle < 1e-9 ? new Quaternion() : new Quaternion().setFromAxisAngle(axis.divideScalar(angle), angle)
}

/** Quaternion to rotvec with an angle of at most pi, four digits. */
export function toRotvec(quaternion) {
  const q = quaternion.w < 0 ? new Quaternion(-quaternion.x, -quaternion.y, -quaternion.z, -quaternion.w) : quaternion
  const sine = Math.hypot(q.x, q.y, q.z)
  const scale = sine < 1e-9 ? 2 : (2 * Math.atan2(sine, q.w)) / sine
  return [q.x, q.y, q.z].map((v) => round(v * scale))
}

export const round = (value) => Math.round(value * 1e4) / 1e4 + 0 // no minus zero

/** A pose: 22 local rotations, and a place (x, height of the lowest point above the floor, z), metres. */
export class Pose {
  constructor(local = JOINTS.map(() => new Quaternion()), place = new Vector3()) {
    this.local = local
    this.place = place
  }

  static fromRow({ joints, place }) {
    return new Pose(joints.map(fromRotvec), new Vector3(...place))
  }

  clone() {
    return new Pose(this.local.map((q) => q.clone()), this.place.clone())
  }

  /** World rotation of every joint. */
  globals() {
    const world = []
    this.local.forEach((q, j) => world.push(j ? world[PARENTS[j]].clone().multiply(q) : q.clone()))
    return world
  }

  /** Turns a joint, with all that hangs on it, by a rotation in the world. */
  turn(joint, rotation) {
    const world = this.globals()
    const turned = rotation.clone().multiply(world[joint])
    this.local[joint] = (joint ? world[PARENTS[joint]].clone().invert().multiply(turned) : turned).normalize()
  }

  /** Seen in a mirror at x = 0: left and right change places. */
  mirrored() {
    const flip = (q) => new Quaternion(q.x, -q.y, -q.z, q.w)
    return new Pose(MIRROR.map((other) => flip(this.local[other])), new Vector3(-this.place.x, this.place.y, this.place.z))
  }
}
