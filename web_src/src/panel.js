// What surrounds the picture: buttons, the name of the chosen joint, the library. Plain HTML, so both kinds of canvas show it.

import { JOINTS } from './joints.js'
import { addStyle } from './style.js'

const HINT = 'Drag a dot to pose. Click it for rings. Drag beside to look around. Shift on the hips moves the whole figure.'

export class Panel {
  constructor(container, editor) {
    addStyle()
    this.editor = editor
    this.root = make('div', 'cp-editor', container)
    const bar = make('div', 'cp-bar', this.root)
    this.buttons = {
      undo: button(bar, 'Undo', 'Take back (Ctrl+Z)', () => editor.undo()),
      redo: button(bar, 'Redo', 'Do again (Ctrl+Shift+Z)', () => editor.redo()),
      mirror: button(bar, 'Mirror', 'Left and right change places (M)', () => editor.mirror()),
      stand: button(bar, 'To floor', 'The lowest point touches the floor', () => editor.stand()),
      reset: button(bar, 'Reset', 'Give the chosen joint back to the pose that comes in (Delete); all joints if none is chosen', () => editor.resetJoint())
    }
    const sides = make('span', 'cp-group', bar)
    for (const side of ['front', 'side', 'back', 'top']) button(sides, side[0].toUpperCase() + side.slice(1), `Look from the ${side}`, () => editor.frame(side))
    this.stage = make('div', 'cp-stage', this.root)
    this.stage.tabIndex = 0
    this.stage.dataset.captureWheel = 'true' // so Nodes 2.0 leaves the wheel to us
    this.stage.type = 'textarea' // ComfyUI leaves Ctrl+Z to whatever has the focus and this type
    this.label = make('div', 'cp-label', this.stage)
    this.message = make('div', 'cp-notice', this.stage)
    this.notices = {}
    this.foot = make('div', 'cp-bar', this.root)
    if (editor.host.candidates) this.addCandidates(editor.host.candidates)
    if (editor.host.library) this.addLibrary(editor.host.library)
  }

  addCandidates(candidates) {
    const group = make('span', 'cp-group', this.foot)
    button(group, '‹', 'The candidate before', () => candidates.choose(candidates.index() - 1))
    this.count = make('span', 'cp-count', group)
    button(group, '›', 'The next candidate', () => candidates.choose(candidates.index() + 1))
    this.candidates = { ...candidates, group }
  }

  addLibrary(library) {
    const group = make('span', 'cp-group', this.foot)
    const list = make('select', 'cp-select', group)
    list.title = 'Poses that you have saved'
    const fill = async () => {
      const names = await library.names()
      list.replaceChildren(new Option(names.length ? 'Saved poses' : 'No saved poses', ''), ...names.map((name) => new Option(name)))
    }
    list.append(new Option('Saved poses', ''))
    for (const name of ['focus', 'pointerenter']) list.addEventListener(name, () => this.attempt(fill), { once: true }) // not before somebody asks
    list.addEventListener('change', async () => {
      const name = list.value
      list.value = ''
      if (name) await this.attempt(async () => this.editor.take(await library.load(name)))
    })
    list.addEventListener('pointerdown', (event) => event.stopPropagation())
    button(group, 'Save pose', 'Keep this pose in the library', () => this.attempt(async () => {
      const { pose } = this.editor
      if (await library.save({ joints: pose.local.map(this.editor.host.toRotvec), place: pose.place.toArray() })) await fill()
    }))
  }

  async attempt(action) {
    try {
      await action()
      this.notice('library', '')
    } catch (error) {
      this.notice('library', error.message)
    }
  }

  update() {
    const { editor } = this
    const { chosen } = editor
    this.buttons.undo.disabled = !editor.past.length
    this.buttons.redo.disabled = !editor.future.length
    this.label.textContent = chosen < 0 ? HINT : JOINTS[chosen].replaceAll('_', ' ') + (editor.edits.joints.has(JOINTS[chosen]) ? ' (edited)' : '')
    this.label.classList.toggle('cp-chosen', chosen >= 0)
    if (!this.candidates) return
    const count = this.candidates.count()
    this.candidates.group.style.display = count > 1 ? '' : 'none'
    this.count.textContent = `candidate ${this.candidates.index()} of ${count}`
  }

  /** Shows a text above the picture until the same source has another or none. */
  notice(source, text) {
    this.notices[source] = text
    this.message.textContent = Object.values(this.notices).filter(Boolean).join('\n')
  }

  dispose() {
    this.root.remove()
  }
}

export function make(tag, name, parent) {
  const element = document.createElement(tag)
  element.className = name
  parent.append(element)
  return element
}

export function button(parent, text, title, action) {
  const element = make('button', 'cp-button', parent)
  Object.assign(element, { type: 'button', textContent: text, title })
  element.addEventListener('click', action)
  element.addEventListener('pointerdown', (event) => event.stopPropagation())
  return element
}
