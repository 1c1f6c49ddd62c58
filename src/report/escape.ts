/** Characters that no document shows: they could hide what stands beside them, or turn its direction. Tabs and line ends become spaces before. */
const invisible =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** One line without control and direction characters. */
export const oneLine = (text: string): string =>
  text.replace(/[\t\r\n\u2028\u2029]+/g, ' ').replace(invisible, '\ufffd');

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Text for an element or a quoted attribute of HTML. */
export const escapeHtml = (text: string): string =>
  oneLine(text).replace(/[&<>"']/g, (one) => entities[one] ?? one);

/** Text for a line or a cell of Markdown (CommonMark, GitHub tables): shown as it is, whatever it looks like. */
export const escapeMarkdown = (text: string): string =>
  oneLine(text)
    .replace(/[\\`*_{}[\]<>#|~!$@&]/g, (one) => `\\${one}`)
    // What makes a list, a heading or a rule only at the beginning of a line.
    .replace(/^(\s*)([-+=])/, '$1\\$2')
    .replace(/^(\s*\d+)([.)])/, '$1\\$2')
    // Addresses become links by themselves.
    .replace(/:\/\//g, ':\\/\\/');

/** JSON for an element of HTML: nothing in it can end the element, begin a comment or hide what stands beside it. Parses to the same value. */
export const escapeJsonInHtml = (json: string): string =>
  json.replace(/[<>&]/g, asEscape).replace(invisible, asEscape);

const asEscape = (one: string): string => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`;
