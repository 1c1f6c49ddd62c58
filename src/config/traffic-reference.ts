/** What `docs/reference/options.md` says of hooks: they are values, not options of a table. */
export const trafficReference = `## traffic

One hook, or a list: what holds the traffic that does not go through a router while authority changes. Without it such writes are not held; the store that they come to too late refuses them. What the application notices of each: [the write switch](../guides/switch-writes.md).

\`pgbouncer({ … })\` of \`changeover/postgres\`:

| option | default | unit | range | effect |
| --- | --- | --- | --- | --- |
| \`traffic.admin\` | – | – | address | Admin console, \`postgres://USER:PASSWORD@HOST:6432/pgbouncer\`; the user stands in \`admin_users\`. |
| \`traffic.file\` | – | – | absolute path \\| function | File that pgbouncer.ini includes and that is ours alone; replaced at each change of authority. A function that gets its text, where PgBouncer runs on another machine. |
| \`traffic.databases\` | – | – | name → { source, target } | Database as applications name it → its connect string for each side, as it would stand in \`[databases]\`: \`host=10.0.0.5 port=5432 dbname=shop\`. |
| \`traffic.login\` | the user of \`admin\` | { user, password } | Who looks through the lines of both sides, as a client of PgBouncer, before a switch: whom it and both servers let in, such as the application’s user. |
| \`traffic.name\` | PgBouncer HOST:PORT | – | text | Its name in messages. |

A hook of your own, \`TrafficHook\`:

| member | default | effect |
| --- | --- | --- |
| \`hold(ms)\` | – | Lets nothing new begin, resolves when nothing is in flight; rejects after \`ms\` and then holds nothing. A rejection undoes the switch. |
| \`release(to)\` | – | Points to \`source\` or \`target\` and lets traffic go on. Idempotent, called from any process, also where nothing was held. |
| \`check(authority)\` | nothing to say | Findings for \`check\` and the preflight of a switch; changes nothing. \`fail\` and \`unknown\` refuse the switch. |
| \`prepare(authority)\` | nothing to do | Just before a switch begins: what can only be tried by doing it. A throw refuses the switch. |
| \`look(side, sign)\` | nothing to say | Asks \`sign.question\` over the way that traffic to that side would take: true only in the store of this migration. Findings as of \`check\`. Not called for a store without a sign (MySQL, MariaDB). |
| \`name\` | traffic | Its name in messages. |
| \`leadsTo\` | – | Side → addresses \`host:port/database\`; \`check\` warns where a PostgreSQL store has another one. |
`;
