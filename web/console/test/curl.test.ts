// Requests as lines for a shell.
import { expect, test } from "vitest";
import { curlOf } from "../src/api/curl.ts";

test("a line for a shell has neither the token nor a password", () => {
	const body = { email: "o'neil@example.com", password: "open sesame" };
	const line = curlOf({ method: "POST", path: "/api/auth/login/json", body }, "http://h");
	expect(line).toBe(
		"curl -X POST http://h/api/auth/login/json \\\n" +
			'  -H "Authorization: Bearer $TOKEN" \\\n' +
			"  -H 'Content-Type: application/json' \\\n" +
			`  -d '{"email":"o'\\''neil@example.com","password":"********"}'`,
	);
});
