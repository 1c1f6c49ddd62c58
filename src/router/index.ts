export type { ReadOptions, ReadRoute } from './read-path.ts';
export { routeRead } from './read-path.ts';
export { type CollectionHandle, createRouter, type Router, type WriteReceipt } from './router.ts';
export {
  type RouterHooks,
  type RouterOptions,
  type RouterOptionsInput,
  resolveRouterOptions,
  routerDefaults,
  type ShadowReadOptions,
} from './router-options.ts';
export { openStateView, type Pass, type StateView, type StateViewOptions } from './state-view.ts';
export { tokenSubject } from './token.ts';
