// What a token says of its bearer. The service decides what is true; this only shows it and builds demo tokens.

export interface Identity {
	readonly id: string;
	readonly name: string;
	readonly email: string | undefined;
	readonly roles: readonly string[];
	readonly kind: "demo" | "jwt";
	/** Milliseconds since the epoch; demo tokens have none. */
	readonly expires: number | undefined;
}

/** Reads *token*; `undefined` where it is neither a JWT nor a demo token. */
export function identityOf(token: string): Identity | undefined {
	return token.split(".").length === 3 ? ofJwt(token) : ofDemo(token);
}

/** A demo token: base64 of `id:name:email:role,role` in UTF-8. */
export function demoToken(id: string, name: string, email: string, roles: readonly string[]): string {
	return toBase64(`${id}:${name}:${email}:${roles.join(",")}`);
}

/** Whether the service lets this user send what others get. */
export function mayPublish(identity: Identity): boolean {
	return identity.roles.includes("admin") || identity.roles.includes("service");
}

/** Whether the id can be an account's: those are numbered. */
export function mayHaveAccount(identity: Identity): boolean {
	return /^[1-9]\d{0,9}$/.test(identity.id);
}

function ofJwt(token: string): Identity | undefined {
	try {
		const claims = JSON.parse(fromBase64(token.split(".")[1] ?? "")) as Record<string, unknown>;
		const id = String(claims.sub ?? "");
		return {
			id,
			name: typeof claims.name === "string" ? claims.name : id,
			email: typeof claims.email === "string" ? claims.email : undefined,
			roles: Array.isArray(claims.roles) ? claims.roles.map(String) : [],
			kind: "jwt",
			expires: typeof claims.exp === "number" ? claims.exp * 1000 : undefined,
		};
	} catch {
		return undefined;
	}
}

function ofDemo(token: string): Identity | undefined {
	try {
		const parts = fromBase64(token).split(":");
		const [id, name, email, roles] = parts;
		if (parts.length !== 4 || !id) return undefined;
		return {
			id,
			name: name || id,
			email: email || undefined,
			roles: (roles ?? "").split(",").filter(Boolean),
			kind: "demo",
			expires: undefined,
		};
	} catch {
		return undefined;
	}
}

function toBase64(text: string): string {
	return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}

function fromBase64(text: string): string {
	const bytes = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
	return new TextDecoder("utf-8", { fatal: true }).decode(
		Uint8Array.from(bytes, (char) => char.charCodeAt(0)),
	);
}
