// How a channel app signs its calls: HMAC-SHA256 over the body as it is sent, keyed with the bytes that the key is in hex.

import { useEffect, useState } from "react";

/** Standard base64 of the signature of *body*. */
export async function signatureOf(body: string, key: string): Promise<string> {
	const bytes = Uint8Array.from(key.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
	const how = { name: "HMAC", hash: "SHA-256" };
	const signer = await crypto.subtle.importKey("raw", bytes, how, false, ["sign"]);
	const signed = await crypto.subtle.sign(how.name, signer, new TextEncoder().encode(body));
	return btoa(String.fromCharCode(...new Uint8Array(signed)));
}

/** Why *key* can't sign; undefined where it can, or there is none. */
export function faultOf(key: string): string | undefined {
	if (!key) return undefined;
	if (!/^([0-9a-f]{2})+$/i.test(key)) return "A key is pairs of hexadecimal digits.";
	// Browsers have it in secure contexts alone.
	return crypto.subtle
		? undefined
		: "The browser signs only on pages that came over https, or from this machine.";
}

/** The signature of *body* by *key*, as soon as it is made; undefined without a key that can sign. */
export function useSignature(body: string, key: string): string | undefined {
	const [made, setMade] = useState({ for: "", signature: "" });
	const wanted = key && faultOf(key) === undefined ? `${key} ${body}` : "";
	useEffect(() => {
		if (wanted) void signatureOf(body, key).then((signature) => setMade({ for: wanted, signature }));
	}, [wanted, body, key]);
	return wanted && made.for === wanted ? made.signature : undefined;
}
