import { defineConfig } from 'vite'

// One .mjs: ComfyUI loads every .js below web/ when it starts, and this is wanted only when a 3D node is on the canvas.
export default defineConfig({
  build: {
    lib: { entry: 'src/index.js', formats: ['es'], fileName: () => 'views3d.mjs' },
    outDir: '../web/js',
    emptyOutDir: false,
    target: 'es2022',
    minify: 'oxc',
    rolldownOptions: { output: { minify: true, comments: { legal: true } } },
  },
  logLevel: 'warn',
})
