/**
 * Topics in a query of `/v1/stream`: a comma parts two of them, and `%2C` is one within a name. Knows no stream.
 */

/** Characters of a URL past which topics go in the body of a POST: half of what the service and most proxies take. */
export const MAX_URL_CHARS = 4000;

/** *url* with *topics* in its query. */
export function withTopics(url: string, topics: readonly string[]): string {
	return `${url}${url.includes("?") ? "&" : "?"}topics=${topics.map(encodeURIComponent).join(",")}`;
}

/** *url* without the topics of its query, and those, as the service reads them; null where it names none. */
export function splitTopics(url: string): { readonly base: string; readonly topics: string[] } | null {
	const [head = "", hash = ""] = url.split("#", 2);
	const [path = "", query = ""] = splitAt(head, "?");
	if (!path.endsWith("/v1/stream")) return null;
	const topics: string[] = [];
	const rest: string[] = [];
	for (const field of query.split("&").filter(Boolean)) {
		const [name, value] = splitAt(field, "=");
		if (decoded(name) === "topics")
			topics.push(...value.split(",").map(decoded).flatMap(partsOf).filter(Boolean));
		else rest.push(field);
	}
	if (topics.length === 0) return null;
	const base = rest.length === 0 ? path : `${path}?${rest.join("&")}`;
	return { base: hash === "" ? base : `${base}#${hash}`, topics: [...new Set(topics)] };
}

/** A list that was encoded as a whole, as URLSearchParams does, is taken apart; a room's name may hold commas. */
function partsOf(text: string): string[] {
	const comma = text.indexOf(",");
	const colon = text.indexOf(":");
	return comma < 0 || (colon >= 0 && colon < comma) ? [text] : text.split(",");
}

function splitAt(text: string, sign: string): [string, string] {
	const at = text.indexOf(sign);
	return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}

function decoded(text: string): string {
	const spaced = text.replaceAll("+", " ");
	try {
		return decodeURIComponent(spaced);
	} catch {
		return spaced; // a percent sign that begins no escape
	}
}
