// The pose editor: a figure with dots to drag, rings to turn joints, undo, mirror, a library of poses.

import { Object3D, Quaternion, Raycaster, Vector2, Vector3 } from 'three'
import { TransformControls } from 'three/addons/controls/TransformControls.js'
import { Edits } from './edits.js'
import { loadFigure } from './figure.js'
import { Handles, startDrag } from './handles.js'
import { JOINTS, NUMBER, PARENTS, Pose } from './joints.js'
import { Panel } from './panel.js'
import { View } from './view.js'

const UNDO_MAX = 200
const ARROW = Math.PI / 36 // an arrow key turns by five degrees
const CLICK = 4 // pixels that a pointer may tremble

export class PoseEditor {
  /**
   * host: {save(text)} and, for the panel, {candidates, library}; see web/js/pose_editor.js.
   */
  constructor(container, host) {
    this.host = host
    this.panel = new Panel(container, this)
    this.view = new View(this.panel.stage)
    this.handles = new Handles()
    this.base = new Pose()
    this.edits = new Edits()
    this.past = []
    this.future = []
    this.addGizmo()
    this.view.scene.add(this.handles.object)
    this.listen(this.panel.stage)
    this.pose = this.base.clone()
  }

  /** Shows another figure; the pose stays. */
  async setFigure(url, drive) {
    const figure = await loadFigure(url, drive)
    if (this.disposed) return figure.dispose()
    this.figure?.dispose()
    this.figure = figure
    this.view.scene.add(figure.object)
    this.update()
    this.frame('front')
  }

  /** The pose that comes in: {joints: 22 rotvecs, place}. The edits stay on top. */
  setBase(row) {
    this.base = Pose.fromRow(row)
    this.pose = this.edits.over(this.base)
    this.update()
    if (this.figure && this.handles.hidden(this.view.camera)) this.frame()
  }

  /** Takes the widget's text, for example from a loaded workflow. Text that is no edit is shown and kept until Reset. */
  setText(text) {
    if (text === this.edits.toText()) return
    try {
      this.edits = Edits.parse(text)
      this.panel.notice('edits', '')
    } catch (error) {
      this.edits = new Edits()
      this.panel.notice('edits', `The saved edits cannot be read (${error.message}). Reset starts anew.`)
    }
    this.past = []
    this.future = []
    this.pose = this.edits.over(this.base)
    this.update()
  }

  /** Says something about what is shown; '' takes it back. */
  tell(text) {
    this.panel.notice('host', text)
  }

  addGizmo() {
    const { camera, canvas, controls, scene } = this.view
    this.pivot = new Object3D()
    this.gizmo = new TransformControls(camera, canvas)
    this.gizmo.setMode('rotate')
    this.gizmo.setSpace('local')
    this.gizmo.setSize(0.62)
    this.gizmo.addEventListener('change', () => this.view.draw())
    this.gizmo.addEventListener('dragging-changed', ({ value }) => {
      controls.enabled = !value
      if (value) this.remember()
      else this.commit()
    })
    this.gizmo.addEventListener('objectChange', () => {
      this.pose.turn(this.chosen, this.pivot.quaternion.clone().multiply(this.turned.clone().invert()))
      this.turned = this.pivot.quaternion.clone()
      this.redraw()
    })
    scene.add(this.pivot, this.gizmo.getHelper())
  }

  listen(stage) {
    const ray = new Raycaster()
    const at = (event) => {
      const box = this.view.canvas.getBoundingClientRect() // the canvas may be zoomed with the graph
      return { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height, box }
    }
    const ndc = ({ x, y }) => new Vector2(2 * x - 1, 1 - 2 * y)
    stage.addEventListener('pointerdown', (event) => {
      stage.focus({ preventScroll: true })
      if (event.button !== 0 || !this.figure) return
      const point = at(event)
      const pointer = ndc(point)
      const { clientWidth: width, clientHeight: height } = this.view.canvas
      const joint = this.handles.pick(point.x * width, point.y * height, this.view.camera, width, height, event.pointerType)
      if (joint < 0 || joint === this.chosen) { // the rings around the chosen joint come after the dots of the others
        this.gizmo.pointerHover({ x: pointer.x, y: pointer.y, button: 0 })
        if (this.gizmo.object && this.gizmo.axis) return
      }
      if (joint < 0) return this.waitForClick(event)
      event.stopImmediatePropagation()
      event.preventDefault()
      stage.setPointerCapture(event.pointerId)
      ray.setFromCamera(pointer, this.view.camera)
      const drag = startDrag(joint, this.figure, this.pose, this.view.camera, this.handles.positions[joint], event.shiftKey, ray.ray)
      let moved = false
      const move = (e) => {
        if (!moved && Math.hypot(e.clientX - event.clientX, e.clientY - event.clientY) < CLICK) return
        if (!moved) this.remember()
        moved = true
        ray.setFromCamera(ndc(at(e)), this.view.camera)
        drag(ray.ray)
        this.redraw()
      }
      const up = () => {
        for (const [name, listener] of [['pointermove', move], ['pointerup', up], ['pointercancel', up]]) stage.removeEventListener(name, listener)
        this.choose(joint)
        if (moved) this.commit()
      }
      for (const [name, listener] of [['pointermove', move], ['pointerup', up], ['pointercancel', up]]) stage.addEventListener(name, listener)
    }, { capture: true })
    stage.addEventListener('keydown', (event) => this.key(event))
    // the graph behind must not zoom, move or delete the node while somebody works in here
    for (const name of ['wheel', 'pointermove', 'pointerup', 'contextmenu', 'dblclick']) stage.addEventListener(name, (event) => event.stopPropagation())
    stage.addEventListener('pointerdown', (event) => event.stopPropagation())
  }

  /** A click beside everything lets the chosen joint go; a drag turns the camera. */
  waitForClick(event) {
    const up = (e) => Math.hypot(e.clientX - event.clientX, e.clientY - event.clientY) < CLICK && this.choose(-1)
    this.panel.stage.addEventListener('pointerup', up, { once: true })
  }

  key(event) {
    const control = event.ctrlKey || event.metaKey
    const actions = {
      z: () => control && (event.shiftKey ? this.redo() : this.undo()),
      y: () => control && this.redo(),
      m: () => !control && this.mirror(),
      f: () => !control && this.frame(),
      Delete: () => this.resetJoint(),
      Backspace: () => this.resetJoint(),
      Escape: () => this.choose(-1),
      '[': () => this.choose((this.chosen + JOINTS.length - 1) % JOINTS.length),
      ']': () => this.choose((this.chosen + 1) % JOINTS.length),
      ArrowLeft: () => this.nudge(0, 1, 0), ArrowRight: () => this.nudge(0, -1, 0), ArrowUp: () => this.nudge(-1, 0, 0),
      ArrowDown: () => this.nudge(1, 0, 0), ',': () => this.nudge(0, 0, 1), '.': () => this.nudge(0, 0, -1)
    }
    const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key]
    if (!action || action() === false) return
    event.preventDefault()
    event.stopPropagation()
  }

  /** Turns the chosen joint about the camera's axes. */
  nudge(x, y, z) {
    if (this.chosen < 0) return false
    const axis = new Vector3(x, y, z).applyQuaternion(this.view.camera.quaternion)
    this.change(() => this.pose.turn(this.chosen, new Quaternion().setFromAxisAngle(axis, -ARROW)))
  }

  get chosen() {
    return this.handles.chosen
  }

  choose(joint) {
    this.handles.chosen = joint
    this.update()
  }

  mirror() {
    this.change(() => (this.pose = this.pose.mirrored()))
  }

  /** Gives a joint, or without a choice all, back to the pose that comes in. */
  resetJoint() {
    if (this.chosen < 0) return this.reset()
    this.remember()
    this.edits.joints.delete(JOINTS[this.chosen])
    this.pose = this.edits.over(this.base)
    this.save()
  }

  reset() {
    this.remember()
    this.edits = new Edits()
    this.pose = this.base.clone()
    this.save()
  }

  stand() {
    this.change(() => (this.pose.place.y = 0))
  }

  /** Takes a whole pose, for example from the library. */
  take(row) {
    this.change(() => (this.pose = Pose.fromRow(row)))
  }

  frame(side) {
    if (!this.figure) return
    const points = this.handles.positions.filter(Boolean)
    const low = points.reduce((a, p) => a.min(p), points[0].clone())
    const high = points.reduce((a, p) => a.max(p), points[0].clone())
    const middle = low.clone().add(high).multiplyScalar(0.5)
    this.view.look(side, middle, Math.max(0.5, high.distanceTo(low) * 0.54))
  }

  /** Does something to the pose that can be undone. */
  change(action) {
    this.remember()
    action()
    this.commit()
  }

  remember() {
    this.past.push(this.edits.toText())
    if (this.past.length > UNDO_MAX) this.past.shift()
    this.future = []
  }

  undo() {
    this.step(this.past, this.future)
  }

  redo() {
    this.step(this.future, this.past)
  }

  step(from, to) {
    if (!from.length) return
    to.push(this.edits.toText())
    this.edits = Edits.parse(from.pop())
    this.pose = this.edits.over(this.base)
    this.save()
  }

  commit() {
    this.edits = Edits.between(this.base, this.pose, this.edits)
    this.save()
  }

  save() {
    this.panel.notice('edits', '')
    this.update()
    this.host.save(this.edits.toText())
  }

  /** The figure and the dots follow the pose. */
  redraw() {
    if (!this.figure) return
    this.figure.show(this.pose)
    this.handles.follow(this.figure)
    if (this.chosen >= 0) this.pivot.position.copy(this.figure.joint(this.chosen) ?? new Vector3())
    this.view.draw()
  }

  update() {
    this.redraw()
    this.panel.update()
    const shown = this.figure && this.chosen >= 0
    if (!shown) return void this.gizmo.detach()
    this.pivot.quaternion.copy(this.pose.globals()[this.chosen])
    this.turned = this.pivot.quaternion.clone()
    this.pivot.updateMatrixWorld()
    this.gizmo.attach(this.pivot)
  }

  dispose() {
    this.disposed = true
    this.gizmo.detach()
    this.gizmo.dispose()
    this.figure?.dispose()
    this.view.dispose()
    this.panel.dispose()
  }
}

export { NUMBER, PARENTS }
