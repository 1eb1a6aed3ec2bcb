/** What only pages load that share a connection with other tabs. */

export { Hub } from "./hub.ts";
export { nameOf } from "./identity.ts";
