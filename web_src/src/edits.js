// The value of the editor's widget: only what somebody touched. Python reads the same text (models/bodies/pose_edits.py).

import { Vector3 } from 'three'
import { JOINTS, NUMBER, Pose, fromRotvec, round, toRotvec } from './joints.js'

const WIDEST = 4 * Math.PI // radians and metres that Python takes, too
const FARTHEST = 100

export class Edits {
  constructor() {
    this.joints = new Map() // name -> Quaternion
    this.place = null
  }

  /** Reads the text; throws an Error that says what is wrong with it. */
  static parse(text) {
    const edits = new Edits()
    if (!text?.trim()) return edits
    const read = JSON.parse(text)
    if (!isObject(read) || !isObject(read.joints ?? {})) throw new Error('it is not an object of joints')
    const { joints = {}, place = null } = read
    for (const [name, rotvec] of Object.entries(joints)) {
      if (!Object.hasOwn(NUMBER, name) || !isTriple(rotvec, WIDEST)) throw new Error(`no rotation of a joint: ${name.slice(0, 40)}`)
      edits.joints.set(name, fromRotvec(rotvec))
    }
    if (place !== null && !isTriple(place, FARTHEST)) throw new Error('place is not three numbers in metres')
    edits.place = place && new Vector3(...place)
    return edits
  }

  toText() {
    if (!this.joints.size && !this.place) return ''
    const joints = {}
    for (const name of JOINTS) if (this.joints.has(name)) joints[name] = toRotvec(this.joints.get(name))
    return JSON.stringify({ joints, ...(this.place && { place: this.place.toArray().map(round) }) })
  }

  /** The pose that comes in, with the edits on top. */
  over(base) {
    const pose = base.clone()
    for (const [name, q] of this.joints) pose.local[NUMBER[name]] = q.clone()
    if (this.place) pose.place.copy(this.place)
    return pose
  }

  /** Edits that lead from one pose to another, on top of what was touched before. */
  static between(base, pose, before) {
    const edits = new Edits()
    JOINTS.forEach((name, j) => {
      const turned = 1 - Math.abs(pose.local[j].dot(base.local[j])) > 1e-9
      if (turned || before.joints.has(name)) edits.joints.set(name, pose.local[j].clone())
    })
    if (before.place || pose.place.distanceTo(base.place) > 1e-4) edits.place = pose.place.clone()
    return edits
  }
}

const isObject = (v) => typeof v === 'object' && v !== null && !Array.isArray(v)
const isTriple = (v, most) => Array.isArray(v) && v.length === 3 && v.every((x) => Number.isFinite(x) && Math.abs(x) <= most)

export { Pose }
