// Who is signed in, in this tab alone: the token stands in sessionStorage and nowhere else.

import { type Identity, identityOf } from "./identity.ts";
import { ofTab } from "./kept.ts";

const KEY = "sse-push.token";

export interface Session {
	readonly token: string;
	readonly who: Identity;
}

/** The session of *token*, whoever it is for. */
export function sessionOf(token: string): Session {
	const unknown: Identity = {
		id: "",
		name: "?",
		email: undefined,
		roles: [],
		kind: "jwt",
		expires: undefined,
	};
	return { token, who: identityOf(token) ?? unknown };
}

export function remembered(): Session | undefined {
	const token = ofTab.get(KEY);
	return token ? sessionOf(token) : undefined;
}

export function remember(session: Session): void {
	ofTab.set(KEY, session.token);
}

export function forget(): void {
	ofTab.delete(KEY);
}
