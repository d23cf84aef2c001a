import { createRouter, createWebHashHistory } from 'vue-router';

/** Links carry tokens and keys in the fragment, which no server log sees. */
export const router = createRouter({
  history: createWebHashHistory(),
  routes: [
    { path: '/', component: () => import('./views/StartView.vue') },
    { path: '/operator/:operatorKey', component: () => import('./views/OperatorView.vue'), props: true },
    {
      path: '/c/:code',
      component: () => import('./views/ClassroomView.vue'),
      props: (route) => ({
        code: String(route.params['code']),
        token: queryToken(route.query['token']),
        school: typeof route.query['school'] === 'string' ? route.query['school'] : null,
      }),
    },
    {
      path: '/studio/:lesson',
      component: () => import('./views/StudioView.vue'),
      props: (route) => ({ lesson: String(route.params['lesson']), token: queryToken(route.query['token']) }),
    },
    { path: '/library', component: () => import('./views/LibraryView.vue'), meta: { stays: true } },
    {
      path: '/replay/:lesson',
      component: () => import('./views/ReplayView.vue'),
      props: (route) => ({
        lesson: String(route.params['lesson']),
        token: queryToken(route.query['token']),
        linkMs: querySeconds(route.query['t']),
      }),
    },
    { path: '/:rest(.*)*', redirect: '/' },
  ],
});

function queryToken(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}

/** Seconds of a link, as milliseconds; null for what is no number. */
function querySeconds(value: unknown): number | null {
  return typeof value === 'string' && /^\d{1,6}(\.\d+)?$/.test(value) ? Number(value) * 1000 : null;
}
