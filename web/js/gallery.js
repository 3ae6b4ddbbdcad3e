// Thumbnails: a click chooses, Ctrl+click chooses several, the lock keeps one when the others are drawn anew.

import { app } from '../../../scripts/app.js'
import { addElement, after, changed, make, onMessage, viewUrl } from './dom.js'

const HEIGHT = 200

export function gallery(node, inputName) {
  let text = '1'
  const { element, widget } = addElement(node, inputName, 'CONTRAPPOSTO_GALLERY', HEIGHT, {
    getValue: () => text,
    setValue(value) {
      text = typeof value === 'string' ? value : String(value ?? '')
      mark()
    }
  })
  const note = make('div', 'cpw-note', element)
  const grid = make('div', 'cpw-grid', element, { role: 'listbox', ariaMultiSelectable: 'true' })
  grid.dataset.captureWheel = 'true' // so Nodes 2.0 lets it scroll
  grid.addEventListener('wheel', (event) => grid.scrollHeight > grid.clientHeight && event.stopPropagation())
  const again = make('button', 'cpw-button', element, { title: 'Gives every candidate without a lock a new seed in Text to Pose; run to see them' })
  again.addEventListener('click', redraw)
  let tiles = []
  const state = () => (node.properties.contrapposto ??= { pictures: [], locked: [] })
  const readable = () => /^[\d\s,]*$/.test(text)
  const chosen = () => new Set(readable() ? text.match(/\d+/g)?.map(Number) ?? [1] : [])

  function choose(number, several) {
    const now = chosen()
    if (!several) text = String(number)
    else {
      if (!now.delete(number)) now.add(number)
      text = [...now].filter((n) => n >= 1 && n <= tiles.length).sort((a, b) => a - b).join(', ') || String(number)
    }
    widget.callback?.(text)
    changed(node)
    mark()
  }

  function lock(number) {
    const { locked } = state()
    state().locked = locked.includes(number) ? locked.filter((other) => other !== number) : [...locked, number]
    mark()
  }

  function redraw() {
    const source = node.getInputNode?.(node.inputs.findIndex(({ name }) => name === 'body_pose'))
    const redrawn = source?.comfyClass === 'ContrappostoTextToPose' && source.widgets.find(({ name }) => name === 'redraw')
    if (!redrawn) {
      note.textContent = 'Connect Text to Pose directly to draw single candidates anew.'
      return
    }
    const seeds = new Map((redrawn.value.match(/\d+\s*=\s*\d+/g) ?? []).map((pair) => pair.split('=').map(Number)))
    tiles.forEach((_, i) => state().locked.includes(i + 1) || seeds.set(i + 1, Math.floor(Math.random() * 2 ** 32)))
    redrawn.value = [...seeds].map(([number, seed]) => `${number}=${seed}`).join(', ')
    const control = source.widgets.find(({ name }) => name === 'control_after_generate' || name === 'control after generate')
    if (control) control.value = 'fixed' // or the locked ones would change with the seed
    app.queuePrompt?.(0)
  }

  function key(event, i) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key]
    if (step) tiles[i + step]?.focus()
    else if (event.key === 'Enter' || event.key === ' ') choose(i + 1, event.ctrlKey || event.metaKey || event.shiftKey)
    else if (event.key.toLowerCase() === 'l') lock(i + 1)
    else return
    event.preventDefault()
    event.stopPropagation()
  }

  function tile(file, i) {
    const tile = make('div', 'cpw-tile', null, { role: 'option', tabIndex: 0, title: 'Click to choose; with Ctrl choose several; L locks' })
    make('img', '', tile, { loading: 'lazy', decoding: 'async', draggable: false, alt: 'Run to see it again', src: viewUrl(file) })
    make('span', 'cpw-number', tile, { textContent: i + 1 })
    const key_ = make('span', 'cpw-lock', tile, { title: 'A locked candidate stays when the others are drawn anew' })
    key_.addEventListener('click', (event) => (event.stopPropagation(), lock(i + 1)))
    tile.addEventListener('pointerdown', (event) => event.stopPropagation())
    tile.addEventListener('click', (event) => choose(i + 1, event.ctrlKey || event.metaKey || event.shiftKey))
    tile.addEventListener('keydown', (event) => key(event, i))
    return tile
  }

  function draw() {
    tiles = state().pictures.map(tile)
    grid.replaceChildren(...tiles)
    if (!tiles.length) make('div', 'cpw-hint', grid, { textContent: 'Run to see the candidates.' })
    mark()
  }

  /** Shows what is chosen and locked on tiles that are there. */
  function mark() {
    const { locked } = state()
    const now = chosen()
    tiles.forEach((tile, i) => {
      tile.ariaSelected = String(now.has(i + 1))
      tile.classList.toggle('cpw-locked', locked.includes(i + 1))
      tile.lastChild.textContent = locked.includes(i + 1) ? 'locked' : 'lock'
    })
    again.textContent = !tiles.length ? '' : locked.length ? 'Draw the unlocked anew' : 'Draw all anew'
    note.textContent = problem(now)
  }

  function problem(now) {
    const said = text.length > 40 ? text.slice(0, 40) + '…' : text
    if (!readable()) return `The saved choice “${said}” is not a list of numbers. ${tiles.length ? 'Click a candidate' : 'Run, then click a candidate'} to choose anew.`
    if (tiles.length && [...now].some((n) => n < 1 || n > tiles.length)) return `There is no candidate ${said} among these ${tiles.length}. Click one to choose anew.`
    return ''
  }

  onMessage(node, ({ pictures }) => {
    state().pictures = pictures
    draw()
  })
  after(node, 'onConfigure', draw) // the pictures of a loaded or copied node come with its properties
  draw()
  return { widget }
}
