// Signatures of calls, and keys that are none.
import { afterEach, expect, test, vi } from "vitest";
import { faultOf, signatureOf } from "../src/api/signature.ts";

afterEach(() => void vi.unstubAllGlobals());

test("a body is signed as channel apps sign it", async () => {
	const body = '{"method":"hello","params":{"name":"world"}}';
	expect(await signatureOf(body, "ab".repeat(32))).toBe("CEqczT1GA1SQjMn+Ae9nBrxAFSexxoJvzv3XphRQntw=");
});

test("a key that is not hexadecimal is told before anything is sent", () => {
	expect([faultOf(""), faultOf("AB01")]).toEqual([undefined, undefined]);
	for (const key of ["abc", "xy", "ab cd"]) expect(faultOf(key)).toMatch(/hexadecimal/);
});

test("a page on which the browser does not sign says so", () => {
	vi.stubGlobal("crypto", {});
	expect(faultOf("AB01")).toMatch(/https/);
});
