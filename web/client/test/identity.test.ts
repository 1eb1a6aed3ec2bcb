// By what a stream is named, and so who shares one.
import { expect, test } from "vitest";
import { nameOf } from "../src/identity.ts";

test("tabs share by what a token says of the caller, not by its dates", async () => {
	const token = (claims: object) => `e30.${btoa(JSON.stringify(claims)).replace(/=+$/, "")}.c2ln`;
	const name = (claims: object, where = "u") => nameOf(where, token(claims), undefined);
	const ada = await name({ sub: "ada", roles: ["user"], exp: 1, iat: 1 });
	expect(await name({ roles: ["user"], sub: "ada", exp: 2, jti: "x" })).toBe(ada);
	const others = [
		await name({ sub: "bob", roles: ["user"], exp: 1 }),
		await name({ sub: "ada", roles: ["user", "admin"], exp: 1 }),
		await name({ sub: "ada", roles: ["user"], exp: 1 }, "elsewhere"),
		await nameOf("u", "an opaque token", undefined),
		await nameOf("u", "another", undefined),
		await nameOf("u", undefined, "ada"),
	];
	expect(new Set([ada, ...others]).size).toBe(7);
	expect(ada).toMatch(/^[0-9a-f]{32}$/);
});
