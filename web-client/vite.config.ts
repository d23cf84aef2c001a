import vue from '@vitejs/plugin-vue';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';
import { OLDEST } from './lint/oldest.mjs';

// The classroom PCs run browsers of the Chromium 87 generation; nothing newer may reach them, which lint/built.mjs looks at.
const OLDEST_BROWSERS = Object.entries(OLDEST).map(([browser, version]) => `${browser}${version}`);

/** Leaves compressed copies beside the files, which the server sends as they are: thin lines, no work per request. */
function compressedCopies(): Plugin {
  return {
    name: 'compressed-copies',
    apply: 'build',
    writeBundle(options) {
      const folder = options.dir ?? 'dist';
      for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
        if (!/\.(js|css|html|svg)$/.test(name)) continue;
        const path = join(folder, name);
        const plain = readFileSync(path);
        writeFileSync(`${path}.gz`, gzipSync(plain, { level: 9 }));
        writeFileSync(`${path}.br`, brotliCompressSync(plain));
      }
    },
  };
}

/** What the first script will ask for, told with the page: else each would be a round trip of its own. */
const PRELOADED = ['app', 'ClassroomView'];

function preloads(): Plugin {
  return {
    name: 'preloads',
    apply: 'build',
    transformIndexHtml: {
      order: 'post',
      handler(html, { bundle }) {
        const chunks = Object.values(bundle ?? {}).filter((file) => file.type === 'chunk');
        const wanted = chunks.filter(({ name }) => PRELOADED.includes(name));
        const missing = PRELOADED.filter((name) => !wanted.some((chunk) => chunk.name === name));
        if (missing.length > 0) throw new Error(`no chunk is called ${missing.join(', ')}`);
        const files = new Set(wanted.flatMap(({ fileName, imports }) => [fileName, ...imports]));
        return [...files]
          .filter((file) => !html.includes(file))
          .map((file) => ({ tag: 'link', attrs: { rel: 'modulepreload', crossorigin: true, href: `./${file}` }, injectTo: 'head' }));
      },
    },
  };
}

export default defineConfig({
  plugins: [vue(), compressedCopies(), preloads()],
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
  test: { environment: 'node', include: ['src/**/*.test.ts', 'lint/**/*.test.mjs'] },
});
