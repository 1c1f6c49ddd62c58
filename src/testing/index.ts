export * from './conformance/index.ts';
export * from './history/index.ts';
