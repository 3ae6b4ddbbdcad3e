// GLB files, where a page may not fetch blobs: ComfyUI forbids it when it runs offline. Pictures go through <img>, which it allows.

import { TextureLoader } from 'three'
import { GLTFLoader } from 'three/addons/loaders/GLTFLoader.js'

export function loadGlb(url) {
  const loader = new GLTFLoader()
  loader.register((parser) => {
    parser.textureLoader = new TextureLoader(parser.options.manager)
    return { name: 'contrapposto_img' }
  })
  return loader.loadAsync(url)
}
