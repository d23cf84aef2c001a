import vue from '@vitejs/plugin-vue';
import { defineConfig } from 'vitest/config';

// The classroom PCs run browsers of the Chromium 87 generation; nothing newer may reach them.
const OLDEST_BROWSERS = ['chrome87', 'firefox102'];

export default defineConfig({
  plugins: [vue()],
  // Relative addresses, so that the pages also work behind a path prefix.
  base: './',
  define: {
    __VUE_OPTIONS_API__: 'false',
    __VUE_PROD_DEVTOOLS__: 'false',
    __VUE_I18N_LEGACY_API__: 'false',
    __VUE_I18N_FULL_INSTALL__: 'false',
    __INTLIFY_PROD_DEVTOOLS__: 'false',
  },
  build: {
    target: OLDEST_BROWSERS,
    cssTarget: OLDEST_BROWSERS,
    // Inlined `data:` assets would need holes in the content security policy.
    assetsInlineLimit: 0,
  },
  server: {
    proxy: {
      '/api': { target: 'http://127.0.0.1:8080', ws: true },
      '/whip': 'http://127.0.0.1:8080',
      '/whep': 'http://127.0.0.1:8080',
    },
  },
  test: { environment: 'node', include: ['src/**/*.test.ts'] },
});
