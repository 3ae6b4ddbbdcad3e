// The browser half of the pack. Files like this one are loaded at every start, so they are small; the 3D views come when a node needs them.

import { app } from '../../../scripts/app.js'
import { addElement, after, loadViews, onMessage, viewUrl } from './dom.js'
import { gallery } from './gallery.js'
import { poseEditor } from './pose_editor.js'
import { reportPanel } from './report.js'

const SIZES = { // width and height that a new node has at least
  ContrappostoEditPose: [420, 560], ContrappostoPreviewMotion: [420, 560], ContrappostoDoctor: [420, 560], ContrappostoChoosePose: [420, 400]
}

function motionPlayer(node) {
  const { element } = addElement(node, 'player', 'CONTRAPPOSTO_PLAYER', 320, { serialize: false, getValue: () => '', setValue: () => {} })
  let player = null
  let removed = false
  const say = (error) => (element.textContent = `The 3D view could not start: ${error.message}`)
  const ready = loadViews().then(({ MotionPlayer, hasWebGL }) => {
    if (!hasWebGL()) throw new Error('this browser has no WebGL. Render the motion to see it.')
    if (!removed) player = element.player = new MotionPlayer(element)
  }).catch(say)
  const show = async ({ file, frames, fps }, failed) => {
    await ready
    await player?.load(viewUrl(file), frames, fps).catch(failed)
  }
  onMessage(node, (motion) => {
    node.properties.contrapposto = motion
    show(motion, (error) => player.tell(`The motion cannot be shown: ${error.message}`))
  })
  after(node, 'onConfigure', () => { // made anew by an undo, or copied; the file lasts as long as ComfyUI runs
    if (node.properties.contrapposto) show(node.properties.contrapposto, () => player.tell('Run to see the motion.'))
  })
  after(node, 'onRemoved', () => {
    removed = true
    player?.dispose()
  })
}

app.registerExtension({
  name: 'contrapposto.views3d',
  getCustomWidgets: () => ({ CONTRAPPOSTO_POSE_EDITS: poseEditor, CONTRAPPOSTO_GALLERY: gallery }),
  nodeCreated(node) {
    if (node.comfyClass === 'ContrappostoPreviewMotion') motionPlayer(node)
    if (node.comfyClass === 'ContrappostoDoctor') reportPanel(node)
    const least = SIZES[node.comfyClass]
    if (least) node.setSize([Math.max(node.size[0], least[0]), Math.max(node.size[1], least[1])])
  }
})
