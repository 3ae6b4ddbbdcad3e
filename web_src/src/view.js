// A room to look into: light, floor, camera. It draws when something has changed, not all the time.

import {
  AmbientLight, BufferAttribute, BufferGeometry, CircleGeometry, Color, DirectionalLight, Fog, GridHelper, HemisphereLight, Mesh, MeshStandardMaterial,
  PCFShadowMap, PerspectiveCamera, Scene, ShadowMaterial, SRGBColorSpace, Vector3, WebGLRenderer
} from 'three'
import { OrbitControls } from 'three/addons/controls/OrbitControls.js'

const PAPER = '#23262b'
const VIEWS = { front: [0, 0.2, 1], side: [1, 0.2, 0], back: [0, 0.2, -1], top: [0, 1, 0.02] }

/** Whether this browser draws with WebGL. */
export function hasWebGL() {
  try {
    return Boolean(document.createElement('canvas').getContext('webgl2'))
  } catch {
    return false
  }
}

// ComfyUI zooms its graph by two fingers anywhere above it and hears of them before a widget does; those in a view are not its own.
let fingersKept = false
function keepFingers() {
  if (fingersKept) return
  fingersKept = true
  document.addEventListener('touchmove', (event) => event.target.closest?.('.cp-stage') && event.stopPropagation(), { capture: true, passive: true })
}

export class View {
  constructor(container) {
    keepFingers()
    this.renderer = new WebGLRenderer({ antialias: true, powerPreference: 'low-power' })
    this.renderer.setPixelRatio(Math.min(window.devicePixelRatio, 2))
    this.renderer.outputColorSpace = SRGBColorSpace
    this.renderer.shadowMap.enabled = true
    this.renderer.shadowMap.type = PCFShadowMap
    this.canvas = this.renderer.domElement
    this.canvas.style.cssText = 'display:block;width:100%;height:100%;touch-action:none;outline:none'
    container.append(this.canvas)
    // The controls follow a pointer on the document, but ComfyUI lets no pointer out of a widget: they get our container for it.
    Object.defineProperty(this.canvas, 'ownerDocument', { value: container })
    this.scene = new Scene()
    this.scene.background = new Color(PAPER)
    this.scene.fog = new Fog(PAPER, 7, 16)
    this.camera = new PerspectiveCamera(32, 1, 0.05, 60)
    this.controls = new OrbitControls(this.camera, this.canvas)
    this.controls.enableDamping = false
    this.controls.minDistance = 0.4
    this.controls.maxDistance = 15
    this.controls.addEventListener('change', () => this.draw())
    this.addLight()
    this.addFloor()
    this.look('front', new Vector3(0, 0.9, 0), 1.1)
    this.watcher = new ResizeObserver(() => this.resize(container))
    this.watcher.observe(container)
    this.canvas.addEventListener('webglcontextrestored', () => this.draw())
  }

  addLight() {
    const key = new DirectionalLight('#fff3e6', 2.2)
    key.position.set(2, 4.5, 3.5)
    key.castShadow = true
    key.shadow.mapSize.set(1024, 1024)
    key.shadow.radius = 4
    key.shadow.normalBias = 0.02
    Object.assign(key.shadow.camera, { left: -2.2, right: 2.2, top: 2.4, bottom: -1.2, near: 0.5, far: 12 })
    const rim = new DirectionalLight('#bcd4ff', 1.2)
    rim.position.set(-3, 3, -4)
    this.scene.add(key, key.target, rim, new HemisphereLight('#dfe9ff', '#4a4038', 1.1), new AmbientLight('#ffffff', 0.25))
    this.key = key
  }

  addFloor() {
    const floor = new Mesh(new CircleGeometry(14, 48).rotateX(-Math.PI / 2), new MeshStandardMaterial({ color: '#2c3036', roughness: 1 }))
    const shade = new Mesh(new CircleGeometry(14, 48).rotateX(-Math.PI / 2), new ShadowMaterial({ opacity: 0.38 }))
    floor.position.y = -0.03
    shade.position.y = -0.006
    shade.receiveShadow = true
    const grid = new GridHelper(12, 24, '#59616b', '#444b54')
    grid.position.y = -0.015
    this.scene.add(floor, grid, shade, frontMark())
  }

  /** Turns the camera to a named side, or keeps its side, and fits a sphere around `target` into the picture. */
  look(side, target, radius) {
    const direction = side ? new Vector3(...VIEWS[side]) : this.camera.position.clone().sub(this.controls.target)
    const fit = Math.min(1, this.camera.aspect || 1)
    this.camera.position.copy(target).addScaledVector(direction.normalize(), (radius / Math.sin((this.camera.fov * Math.PI) / 360)) / fit)
    this.controls.target.copy(target)
    this.key.target.position.set(target.x, 0, target.z)
    this.key.position.set(target.x + 2, 4.5, target.z + 3.5)
    this.controls.update()
    this.draw()
  }

  resize(container) {
    const { clientWidth: width, clientHeight: height } = container
    if (!width || !height) return
    this.renderer.setSize(width, height, false)
    this.camera.aspect = width / height
    this.camera.updateProjectionMatrix()
    this.onResize?.()
    this.draw()
  }

  /** Asks for one picture at the next chance; many calls make one picture. */
  draw() {
    this.pending ??= requestAnimationFrame(() => {
      this.pending = null
      this.render()
    })
  }

  render() {
    this.renderer.render(this.scene, this.camera)
  }

  dispose() {
    cancelAnimationFrame(this.pending)
    this.watcher.disconnect()
    this.controls.dispose()
    this.renderer.dispose()
    this.renderer.forceContextLoss()
    this.canvas.remove()
  }
}

/** A small arrow on the floor: this way is front. */
function frontMark() {
  const geometry = new BufferGeometry()
  geometry.setAttribute('position', new BufferAttribute(new Float32Array([-0.07, 0, 0.62, 0.07, 0, 0.62, 0, 0, 0.74]), 3))
  geometry.computeVertexNormals()
  return new Mesh(geometry, new MeshStandardMaterial({ color: '#7c8896', roughness: 1 }))
}
