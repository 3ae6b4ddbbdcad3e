// The browser half of the pack. This file is loaded at every start, so it is small; the 3D views come when a node needs them.

import { api } from '../../../scripts/api.js'
import { app } from '../../../scripts/app.js'

const LIBRARY = 'contrapposto/poses' // inside the user's own folder
const SIZE = [420, 560]

const BUTTON = 'background:#31353c;color:#e3e6ea;border:0;border-radius:4px;padding:5px 8px;font:11px system-ui,sans-serif;cursor:pointer'

let views3d
const loadViews = () => (views3d ??= import('./views3d.mjs'))
const viewUrl = (file) => api.apiURL('/view?' + new URLSearchParams(file))

/** A widget that is an HTML element as wide as the node and at least `height` pixels high. */
function addElement(node, name, type, height, options) {
  const element = document.createElement('div')
  element.style.cssText = `width:100%;height:100%;min-height:${height}px`
  const widget = node.addDOMWidget(name, type, element, { hideOnZoom: false, getMinHeight: () => height, ...options })
  return { element, widget }
}

/** Draws something into an element when it comes onto the page first, and says why if it cannot. */
async function fill(element, make) {
  try {
    return await make(await loadViews())
  } catch (error) {
    element.textContent = `The 3D view could not start: ${error.message}`
    return null
  }
}

function poseEditor(node, inputName) {
  let text = ''
  let editor = null
  const shown = () => node.properties.contrapposto ?? {} // what the last run sent; kept in the workflow, not in the prompt
  const candidate = () => node.widgets.find(({ name }) => name === 'candidate')
  const { element, widget } = addElement(node, inputName, 'CONTRAPPOSTO_POSE_EDITS', 340, {
    getValue: () => text,
    setValue: (value) => {
      text = typeof value === 'string' ? value : ''
      editor?.setText(text)
    }
  })
  const host = {
    save(edits) {
      text = edits
      widget.callback?.(text)
      node.graph?.setDirtyCanvas(true)
      app.extensionManager?.workflow?.activeWorkflow?.changeTracker?.checkState?.()
    },
    candidates: {
      count: () => shown().poses?.length ?? 1,
      index: () => candidate()?.value ?? 1,
      choose(index) {
        const count = shown().poses?.length ?? 1
        candidate().value = ((index - 1 + count) % count) + 1
        refresh()
      }
    },
    library
  }
  const refresh = () => {
    const { poses = [], start } = shown()
    const row = poses[Math.min(host.candidates.index(), poses.length) - 1] ?? start
    if (editor && row) editor.setBase(row)
    editor?.panel?.update()
  }
  let drawn = ''
  const showFigure = async ({ file, drive } = {}) => {
    if (!file || !editor || drawn === file.filename) return
    drawn = file.filename
    await editor.setFigure(viewUrl(file), drive)
  }
  fill(element, async ({ PoseEditor, SliderEditor, hasWebGL, toRotvec }) => {
    editor = element.editor = new (hasWebGL() ? PoseEditor : SliderEditor)(element, { ...host, toRotvec })
    editor.setText(text)
    const answer = await api.fetchApi('/contrapposto/figure?' + new URLSearchParams({ avatar: linkedAvatar(node) }))
    const figure = await answer.json()
    if (!answer.ok) throw new Error(figure.error)
    node.properties.contrapposto ??= {}
    node.properties.contrapposto.start ??= figure.start
    refresh()
    await showFigure(figure)
  })
  const executed = node.onExecuted
  node.onExecuted = function (output) {
    executed?.call(this, output)
    const [message] = output?.contrapposto ?? []
    if (!message) return
    node.properties.contrapposto = { ...shown(), poses: message.poses }
    refresh()
    showFigure(message.figure)
  }
  const choice = candidate()
  if (choice) choice.callback = refresh
  const removed = node.onRemoved
  node.onRemoved = function () {
    removed?.call(this)
    editor?.dispose()
  }
  return { widget }
}

/** The entry of the Load Avatar node that is linked to `node`, or ''. */
function linkedAvatar(node) {
  const slot = node.inputs?.findIndex(({ name }) => name === 'avatar') ?? -1
  const source = slot < 0 ? null : node.getInputNode?.(slot)
  return source?.comfyClass === 'ContrappostoLoadAvatar' ? source.widgets.find(({ name }) => name === 'file')?.value ?? '' : ''
}

const library = {
  async names() {
    const answer = await api.fetchApi('/userdata?' + new URLSearchParams({ dir: LIBRARY, recurse: 'false', split: 'false' }))
    if (!answer.ok) return [] // nothing saved yet
    return (await answer.json()).filter((name) => name.endsWith('.json')).map((name) => name.slice(0, -5)).sort()
  },
  async load(name) {
    const answer = await api.getUserData(`${LIBRARY}/${name}.json`)
    if (!answer.ok) throw new Error(`The pose ${name} is not there any more.`)
    return answer.json()
  },
  /** Asks for a name; resolves to whether the pose was saved. */
  async save(row) {
    const ask = app.extensionManager?.dialog?.prompt
    const question = { title: 'Save pose', message: 'Name of the pose:', defaultValue: '' }
    const name = ask ? await ask.call(app.extensionManager.dialog, question) : window.prompt(question.message)
    const clean = name?.trim().replace(/[^\p{L}\p{N} _-]/gu, '').slice(0, 60)
    if (!clean) return false
    if ((await this.names()).includes(clean)) throw new Error(`There is a pose named ${clean}; choose another name.`)
    await api.storeUserData(`${LIBRARY}/${clean}.json`, row, { throwOnError: true })
    return true
  }
}

function motionPlayer(node) {
  const { element } = addElement(node, 'player', 'CONTRAPPOSTO_PLAYER', 320, { serialize: false, getValue: () => '', setValue: () => {} })
  let player = null
  const ready = fill(element, async ({ MotionPlayer, hasWebGL }) => {
    if (!hasWebGL()) throw new Error('this browser has no WebGL.')
    player = new MotionPlayer(element)
  })
  const executed = node.onExecuted
  node.onExecuted = async function (output) {
    executed?.call(this, output)
    const [message] = output?.contrapposto ?? []
    await ready
    if (message) await player?.load(viewUrl(message.file), message.frames, message.fps)
  }
  const removed = node.onRemoved
  node.onRemoved = function () {
    removed?.call(this)
    player?.dispose()
  }
}

/** Thumbnails: a click chooses, Ctrl+click chooses several, the lock keeps one when the others are drawn anew. */
function gallery(node, inputName) {
  let text = '1'
  const { element, widget } = addElement(node, inputName, 'CONTRAPPOSTO_GALLERY', 200, {
    getValue: () => text,
    setValue(value) {
      text = typeof value === 'string' ? value : '1'
      draw()
    }
  })
  element.style.cssText += ';display:flex;flex-direction:column;gap:4px;font:11px system-ui,sans-serif;color:#d6dae0'
  const grid = document.createElement('div')
  grid.style.cssText = 'flex:1;min-height:0;overflow:auto;display:grid;gap:4px;align-content:start;grid-template-columns:repeat(auto-fill,minmax(96px,1fr))'
  grid.addEventListener('wheel', (event) => event.stopPropagation())
  const again = document.createElement('button')
  again.style.cssText = BUTTON
  again.title = 'Gives every candidate without a lock a new seed in Text to Pose; run to see them'
  again.addEventListener('click', redraw)
  element.append(grid, again)
  const state = () => (node.properties.contrapposto ??= { pictures: [], locked: [] })
  const chosen = () => new Set((text.match(/\d+/g) ?? ['1']).map(Number))

  function choose(number, several) {
    const now = chosen()
    if (!several) text = String(number)
    else {
      if (!now.delete(number)) now.add(number)
      text = [...now].sort((a, b) => a - b).join(', ') || String(number)
    }
    widget.callback?.(text)
    node.graph?.setDirtyCanvas(true)
    draw()
  }

  function lock(number) {
    const { locked } = state()
    state().locked = locked.includes(number) ? locked.filter((other) => other !== number) : [...locked, number]
    draw()
  }

  function redraw() {
    const source = node.getInputNode?.(node.inputs.findIndex(({ name }) => name === 'body_pose'))
    const redrawn = source?.comfyClass === 'ContrappostoTextToPose' && source.widgets.find(({ name }) => name === 'redraw')
    if (!redrawn) {
      again.textContent = 'Connect Text to Pose directly to draw single candidates anew'
      return
    }
    const seeds = new Map((redrawn.value.match(/\d+\s*=\s*\d+/g) ?? []).map((pair) => pair.split('=').map(Number)))
    state().pictures.forEach((_, i) => state().locked.includes(i + 1) || seeds.set(i + 1, Math.floor(Math.random() * 2 ** 32)))
    redrawn.value = [...seeds].map(([number, seed]) => `${number}=${seed}`).join(', ')
    const control = source.widgets.find(({ name }) => name === 'control_after_generate' || name === 'control after generate')
    if (control) control.value = 'fixed' // or the locked ones would change with the seed
    app.queuePrompt?.(0)
  }

  function draw() {
    const { pictures, locked } = state()
    again.textContent = locked.length ? 'Draw the unlocked anew' : 'Draw all anew'
    again.style.visibility = pictures.length ? '' : 'hidden'
    grid.replaceChildren(...pictures.map((file, i) => {
      const tile = document.createElement('div')
      const picked = chosen().has(i + 1)
      tile.style.cssText = `position:relative;cursor:pointer;border-radius:5px;overflow:hidden;aspect-ratio:1;border:2px solid ${picked ? '#6aa9ff' : 'transparent'}`
      tile.title = 'Click to choose; with Ctrl choose several'
      const image = Object.assign(document.createElement('img'), { src: viewUrl(file), draggable: false, alt: `candidate ${i + 1}` })
      image.style.cssText = 'width:100%;height:100%;display:block'
      const mark = document.createElement('span')
      mark.textContent = i + 1
      mark.style.cssText = `position:absolute;left:3px;top:3px;padding:0 5px;border-radius:8px;background:${picked ? '#2f6fd0' : '#0009'};color:#fff`
      const key = document.createElement('span')
      key.textContent = locked.includes(i + 1) ? 'locked' : 'lock'
      key.title = 'A locked candidate stays when the others are drawn anew'
      key.style.cssText = `position:absolute;right:3px;top:3px;padding:0 5px;border-radius:8px;color:#fff;background:${locked.includes(i + 1) ? '#b0721a' : '#0007'}`
      key.addEventListener('click', (event) => (event.stopPropagation(), lock(i + 1)))
      for (const part of [tile, key]) part.addEventListener('pointerdown', (event) => event.stopPropagation())
      tile.addEventListener('click', (event) => choose(i + 1, event.ctrlKey || event.metaKey || event.shiftKey))
      tile.append(image, mark, key)
      return tile
    }))
    if (!pictures.length) grid.textContent = 'Run to see the candidates.'
  }

  const executed = node.onExecuted
  node.onExecuted = function (output) {
    executed?.call(this, output)
    const [message] = output?.contrapposto ?? []
    if (!message) return
    state().pictures = message.pictures
    draw()
  }
  draw()
  return { widget }
}

/** A report to read and to copy. */
function reportPanel(node) {
  const { element } = addElement(node, 'report', 'CONTRAPPOSTO_REPORT', 260, { serialize: false, getValue: () => '', setValue: () => {} })
  element.style.cssText += ';display:flex;flex-direction:column;gap:4px'
  const text = document.createElement('pre')
  text.style.cssText = 'flex:1;min-height:0;overflow:auto;margin:0;padding:6px;background:#16181b;color:#d6dae0;font:11px/1.4 monospace;border-radius:6px;user-select:text'
  text.textContent = 'Run to see the report.'
  for (const name of ['wheel', 'pointerdown']) text.addEventListener(name, (event) => event.stopPropagation())
  const copy = document.createElement('button')
  copy.style.cssText = BUTTON
  copy.textContent = 'Copy report'
  copy.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(text.textContent)
      copy.textContent = 'Copied'
    } catch {
      copy.textContent = 'Select the text and copy it'
    }
  })
  element.append(text, copy)
  const executed = node.onExecuted
  node.onExecuted = function (output) {
    executed?.call(this, output)
    const [message] = output?.contrapposto ?? []
    if (message) [text.textContent, copy.textContent] = [message.text, 'Copy report']
  }
}

app.registerExtension({
  name: 'contrapposto.views3d',
  getCustomWidgets: () => ({ CONTRAPPOSTO_POSE_EDITS: poseEditor, CONTRAPPOSTO_GALLERY: gallery }),
  nodeCreated(node) {
    if (node.comfyClass === 'ContrappostoPreviewMotion') motionPlayer(node)
    if (node.comfyClass === 'ContrappostoDoctor') reportPanel(node)
    if (['ContrappostoPreviewMotion', 'ContrappostoEditPose', 'ContrappostoDoctor'].includes(node.comfyClass)) {
      node.setSize([Math.max(node.size[0], SIZE[0]), Math.max(node.size[1], SIZE[1])])
    }
  }
})
