// The editor where no WebGL is to be had: three angles for each joint, and the same edits.

import { Euler, Quaternion } from 'three'
import { Edits } from './edits.js'
import { JOINTS, Pose } from './joints.js'
import { button, make } from './panel.js'
import { addStyle } from './style.js'

const DEGREES = 180 / Math.PI

export class SliderEditor {
  constructor(container, host) {
    addStyle()
    this.host = host
    this.base = new Pose()
    this.edits = new Edits()
    this.root = make('div', 'cp-editor', container)
    const why = 'This browser has no WebGL, so there is no 3D view here. Turn joints by numbers and render the pose to see it.'
    make('div', 'cp-bar', this.root).textContent = why
    this.message = make('div', 'cp-notice', this.root)
    const bar = make('div', 'cp-bar', this.root)
    this.list = make('select', 'cp-select', bar)
    this.list.append(...JOINTS.map((name) => new Option(name.replaceAll('_', ' '), name)))
    this.list.addEventListener('change', () => this.show())
    button(bar, 'Reset joint', 'Give this joint back to the pose that comes in', () => this.set(null))
    button(bar, 'Reset all', 'Drop every edit', () => {
      this.edits = new Edits()
      this.save()
    })
    const grid = make('div', 'cp-sliders', this.root)
    this.sliders = ['x', 'y', 'z'].map((axis) => {
      make('span', '', grid).textContent = axis
      const slider = Object.assign(make('input', '', grid), { type: 'range', min: -180, max: 180, step: 1 })
      const number = make('span', '', grid)
      slider.addEventListener('input', () => this.set(this.sliders.map(({ slider }) => slider.value / DEGREES)))
      slider.addEventListener('pointerdown', (event) => event.stopPropagation())
      return { slider, number }
    })
    this.show()
  }

  async setFigure() {}

  setBase(row) {
    this.base = Pose.fromRow(row)
    this.show()
  }

  setText(text) {
    try {
      this.edits = Edits.parse(text)
      this.tell('')
    } catch (error) {
      this.edits = new Edits()
      this.tell(`The saved edits cannot be read (${error.message}). Reset all starts anew.`)
    }
    this.show()
  }

  tell(text) {
    this.message.textContent = text
  }

  set(angles) {
    if (angles) this.edits.joints.set(this.list.value, new Quaternion().setFromEuler(new Euler(...angles)))
    else this.edits.joints.delete(this.list.value)
    this.save()
  }

  show() {
    const angles = new Euler().setFromQuaternion(this.edits.over(this.base).local[JOINTS.indexOf(this.list.value)])
    this.sliders.forEach(({ slider, number }, i) => {
      const degrees = Math.round(angles.toArray()[i] * DEGREES)
      if (document.activeElement !== slider) slider.value = degrees
      number.textContent = `${degrees}°`
    })
  }

  save() {
    this.tell('')
    this.show()
    this.host.save(this.edits.toText())
  }

  dispose() {
    this.root.remove()
  }
}
