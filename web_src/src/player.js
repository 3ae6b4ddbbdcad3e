// A motion on a figure: play, pause, drag to any frame. The GLB holds the animation.

import { AnimationMixer, Box3, LoopOnce, Vector3 } from 'three'
import { loadGlb } from './glb.js'
import { dress } from './figure.js'
import { button, make } from './panel.js'
import { addStyle } from './style.js'
import { View } from './view.js'

export class MotionPlayer {
  constructor(container) {
    addStyle()
    this.root = make('div', 'cp-editor', container)
    this.stage = make('div', 'cp-stage', this.root)
    this.stage.tabIndex = 0
    this.stage.dataset.captureWheel = 'true' // so Nodes 2.0 leaves the wheel to us
    this.label = make('div', 'cp-label', this.stage)
    this.label.textContent = 'Run to see the motion.'
    const bar = make('div', 'cp-bar', this.root)
    this.play = button(bar, 'Play', 'Play or pause (Space)', () => this.toggle())
    this.slider = Object.assign(make('input', '', bar), { type: 'range', min: 0, max: 0, step: 1, value: 0 })
    this.slider.addEventListener('input', () => this.seek(Number(this.slider.value)))
    this.slider.addEventListener('pointerdown', (event) => event.stopPropagation())
    this.count = make('span', 'cp-count', bar)
    this.view = new View(this.stage)
    for (const name of ['wheel', 'pointerdown', 'pointermove', 'pointerup', 'contextmenu', 'dblclick']) {
      this.stage.addEventListener(name, (event) => event.stopPropagation())
    }
    this.stage.addEventListener('keydown', (event) => this.key(event))
    this.frame = 0
  }

  /** url of a GLB with one animation of `frames` frames at `fps`. */
  async load(url, frames, fps) {
    const { scene, animations } = await loadGlb(url)
    if (this.disposed) return
    this.figure?.removeFromParent()
    Object.assign(this, { figure: scene, frames, fps })
    scene.traverse((node) => node.isSkinnedMesh && dress(node))
    this.view.scene.add(scene)
    this.mixer = new AnimationMixer(scene)
    const action = this.mixer.clipAction(animations[0])
    action.setLoop(LoopOnce).clampWhenFinished = true
    action.play()
    this.slider.max = frames - 1
    this.label.textContent = ''
    this.fit(animations[0])
    this.seek(0)
    if (frames > 1) this.start()
  }

  /** The camera takes in the whole way. */
  fit(clip) {
    const box = new Box3()
    for (let i = 0; i <= 16; i++) {
      this.mixer.setTime((clip.duration * i) / 16)
      this.figure.updateMatrixWorld(true)
      this.figure.traverse((node) => node.isBone && box.expandByPoint(node.getWorldPosition(new Vector3())))
    }
    this.view.look('front', box.getCenter(new Vector3()), Math.max(0.9, box.getSize(new Vector3()).length() * 0.6))
  }

  tell(text) {
    this.label.textContent = text
  }

  seek(frame) {
    this.frame = frame
    if (!this.mixer) return
    this.mixer.setTime(Math.min(frame, this.frames - 1 - 1e-4) / this.fps)
    this.slider.value = Math.floor(frame)
    this.count.textContent = `${Math.floor(frame) + 1} / ${this.frames}`
    this.view.draw()
  }

  toggle() {
    if (this.playing) this.stop()
    else if (this.mixer && this.frames > 1) this.start()
  }

  start() {
    this.playing = true
    this.play.textContent = 'Pause'
    let last = performance.now()
    const tick = (now) => {
      if (!this.playing) return
      this.seek((this.frame + ((now - last) / 1000) * this.fps) % this.frames)
      last = now
      requestAnimationFrame(tick)
    }
    requestAnimationFrame(tick)
  }

  stop() {
    this.playing = false
    this.play.textContent = 'Play'
  }

  key(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key]
    if (event.key === ' ') this.toggle()
    else if (step && this.frames) {
      this.stop()
      this.seek((Math.floor(this.frame) + step + this.frames) % this.frames)
    } else return
    event.preventDefault()
    event.stopPropagation()
  }

  dispose() {
    this.disposed = true
    this.stop()
    this.view.dispose()
    this.root.remove()
  }
}
