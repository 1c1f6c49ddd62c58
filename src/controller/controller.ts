import type { MigrationContext } from '../control/index.ts';
import { ChangeoverError } from '../errors/index.ts';
import type { Controller, ControllerOptions } from './controller-types.ts';

/** The controller of an opened migration. Owns nothing, so there is nothing to close. */
export function createController(
  context: MigrationContext,
  _options: ControllerOptions = {},
): Controller {
  throw new ChangeoverError('BUG', `The controller of ${context.migration.name} is not built yet.`);
}
