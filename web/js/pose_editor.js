// The Pose Editor's widget: its text is what somebody changed, which the queue gets; the 3D view comes from views3d.mjs.

import { api } from '../../../scripts/api.js'
import { addElement, after, changed, loadViews, onMessage, viewUrl } from './dom.js'
import { library } from './pose_library.js'

const HEIGHT = 340
const KEPT = 32 // poses saved with the workflow, so that it stays small

export function poseEditor(node, inputName) {
  let text = ''
  let poses = [] // what the last run sent
  let editor = null
  const { element, widget } = addElement(node, inputName, 'CONTRAPPOSTO_POSE_EDITS', HEIGHT, {
    getValue: () => text,
    setValue: (value) => {
      text = typeof value === 'string' ? value : value == null ? '' : JSON.stringify(value)
      editor?.setText(text)
    }
  })
  const saved = () => (node.properties.contrapposto ??= {}) // goes with the workflow, not with the prompt
  const candidate = () => node.widgets.find(({ name }) => name === 'candidate')
  const candidates = {
    count: () => saved().poses?.length ?? 1,
    index: () => candidate()?.value ?? 1,
    choose(index) {
      const count = candidates.count()
      candidate().value = ((index - 1 + count) % count) + 1
      changed(node)
      refresh()
    }
  }
  const save = (edits) => {
    text = edits
    widget.callback?.(text)
    changed(node)
  }

  function refresh() {
    if (!editor) return
    const i = Math.min(candidates.index(), candidates.count()) - 1
    const row = poses[i] ?? (saved().poses ? saved().poses[i] : saved().start)
    if (row) editor.setBase(row)
    editor.tell(row ? '' : `Run to see candidate ${i + 1}.`)
    editor.panel?.update()
  }

  let drawn = ''
  async function showFigure({ file, drive }) {
    if (!editor || drawn === file.filename) return
    drawn = file.filename
    await editor.setFigure(viewUrl(file), drive)
  }

  /** Shows the avatar that is linked, or the body; what cannot be shown is said above the picture, and the edits stay. */
  async function showLinked() {
    if (!editor) return
    const avatar = linkedAvatar(node)
    try {
      await showFigure(await askFigure(avatar))
      refresh()
    } catch (error) {
      if (avatar) await showFigure(await askFigure(''))
      refresh()
      editor.tell(`${avatar ? 'The avatar cannot be shown, so here is the body' : 'The figure cannot be shown'}: ${error.message}`)
    }
  }

  async function askFigure(avatar) {
    const answer = await api.fetchApi('/contrapposto/figure?' + new URLSearchParams({ avatar }))
    const figure = await answer.json()
    if (!answer.ok) throw new Error(figure.error)
    saved().start ??= figure.start
    return figure
  }

  let removed = false
  async function start() {
    const { PoseEditor, SliderEditor, hasWebGL, toRotvec } = await loadViews()
    if (removed) return
    editor = element.editor = new (hasWebGL() ? PoseEditor : SliderEditor)(element, { save, candidates, library, toRotvec })
    editor.setText(text)
    await showLinked()
  }
  start().catch((error) => (editor ? editor.tell(error.message) : (element.textContent = `The editor could not start: ${error.message}`)))

  onMessage(node, (message) => {
    poses = message.poses
    const chosen = candidates.index() - 1
    node.properties.contrapposto = { ...saved(), poses: poses.map((row, i) => (i < KEPT || i === chosen ? row : null)) }
    refresh()
    showFigure(message.figure).catch((error) => editor.tell(error.message))
  })
  after(node, 'onConnectionsChange', (_, slot) => {
    if (node.inputs[slot]?.name === 'avatar') setTimeout(() => showLinked().catch((error) => editor.tell(error.message)))
  })
  const choice = candidate()
  if (choice) choice.callback = refresh
  after(node, 'onRemoved', () => {
    removed = true
    editor?.dispose()
  })
  return { widget }
}

/** The entry of the Load Avatar node that is linked to `node`, or ''. */
function linkedAvatar(node) {
  const slot = node.inputs?.findIndex(({ name }) => name === 'avatar') ?? -1
  const source = slot < 0 ? null : node.getInputNode?.(slot)
  return source?.comfyClass === 'ContrappostoLoadAvatar' ? source.widgets.find(({ name }) => name === 'file')?.value ?? '' : ''
}
