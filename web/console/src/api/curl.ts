// A request as a line for a shell. The token is left to a variable, passwords are left out: such lines end in chats and
// tickets.

export interface Call {
	readonly method: string;
	readonly path: string;
	readonly body?: unknown;
	readonly headers?: Readonly<Record<string, string>>;
	/** Whether it carries the token. */
	readonly anonymous?: boolean;
	/** Whether it is answered by a stream. */
	readonly streams?: boolean;
}

export function curlOf(call: Call, base: string): string {
	const words = ["curl"];
	if (call.streams) words.push("-N");
	if (call.method !== "GET") words.push("-X", call.method);
	words.push(quoted(base.replace(/\/$/, "") + call.path));
	const parts = [words.join(" ")];
	if (!call.anonymous) parts.push('-H "Authorization: Bearer $TOKEN"');
	if (call.body !== undefined) parts.push(`-H 'Content-Type: application/json'`);
	for (const [name, value] of Object.entries(call.headers ?? {}))
		parts.push(`-H ${quoted(`${name}: ${value}`)}`);
	if (call.body !== undefined) parts.push(`-d ${quoted(JSON.stringify(call.body, unsaid))}`);
	return parts.join(" \\\n  ");
}

function unsaid(name: string, value: unknown): unknown {
	return name === "password" && value ? "********" : value;
}

function quoted(text: string): string {
	return /^[\w./:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
