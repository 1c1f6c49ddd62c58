export type { MysqlOptions } from './mysql-options.ts';
export { mariadb, mysql } from './mysql-store.ts';
