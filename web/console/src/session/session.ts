// Who is signed in, in this tab alone: the token stands in sessionStorage and nowhere else.

import { type Identity, identityOf } from "./identity.ts";

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
	const token = sessionStorage.getItem(KEY);
	return token ? sessionOf(token) : undefined;
}

export function remember(session: Session): void {
	sessionStorage.setItem(KEY, session.token);
}

export function forget(): void {
	sessionStorage.removeItem(KEY);
}
