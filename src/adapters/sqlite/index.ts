export { type SqliteControlOptions, sqlite } from './sqlite-control-store.ts';
