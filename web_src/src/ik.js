// Closed-form ways to bring a joint to a point. Each returns rotations in the world, to be given to Pose.turn from parent to child.

import { Quaternion, Vector3 } from 'three'

/** The shortest rotation that takes direction a to direction b. */
export function arc(a, b) {
  return new Quaternion().setFromUnitVectors(a.clone().normalize(), b.clone().normalize())
}

/**
 * Two bones reach for a point by the law of cosines; the plane of the bend stays.
 * start, middle, end, target: positions. forward: where the middle joint points when the limb is straight.
 * Returns {upper, lower}: what the first and the second bone turn by.
 */
export function reach(start, middle, end, target, forward) {
  const a = start.distanceTo(middle)
  const b = middle.distanceTo(end)
  const far = Math.min(Math.max(start.distanceTo(target), Math.abs(a - b) + 1e-4), a + b - 1e-4)
  const upperArm = middle.clone().sub(start)
  const foreArm = end.clone().sub(middle)
  let axis = upperArm.clone().cross(foreArm)
  if (axis.length() < 1e-3 * a * b) axis = forward.clone().cross(end.clone().sub(start)) // straight: bend towards `forward`
  axis.normalize()
  const bent = upperArm.angleTo(foreArm)
  const wanted = Math.PI - Math.acos(clamp((a * a + b * b - far * far) / (2 * a * b)))
  const bend = new Quaternion().setFromAxisAngle(axis, wanted - bent)
  const reached = middle.clone().add(foreArm.applyQuaternion(bend)).sub(start)
  const upper = arc(reached, target.clone().sub(start))
  return { upper, lower: upper.clone().multiply(bend) }
}

/** A rotation's share: 0 is none of it, 1 all. */
export function share(rotation, part) {
  return new Quaternion().slerp(rotation, part)
}

const clamp = (x) => Math.min(1, Math.max(-1, x))

export { Vector3 }
