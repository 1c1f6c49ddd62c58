export {
  ChangeoverError,
  dispositionOf,
  type ErrorData,
  isChangeoverError,
  messageOf,
  waitsForAnother,
} from './changeover-error.ts';
export { type Disposition, type ErrorCode, type ErrorEntry, errorCatalogue } from './codes.ts';
