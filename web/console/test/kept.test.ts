// What is kept where the browser keeps nothing.
import { afterEach, expect, test, vi } from "vitest";
import { ofTab } from "../src/session/kept.ts";

afterEach(() => void vi.unstubAllGlobals());

test("what the browser refuses to keep is kept until the page goes", () => {
	const refuse = () => {
		throw new DOMException("denied", "SecurityError");
	};
	vi.stubGlobal("sessionStorage", { getItem: refuse, setItem: refuse, removeItem: refuse });
	ofTab.set("a", "1");
	expect(ofTab.get("a")).toBe("1");
	ofTab.delete("a");
	expect(ofTab.get("a")).toBeNull();
});

test("what there is no room for is kept until the page goes", () => {
	const full = () => {
		throw new DOMException("full", "QuotaExceededError");
	};
	vi.stubGlobal("sessionStorage", { getItem: () => null, setItem: full, removeItem: () => {} });
	ofTab.set("a", "1");
	expect(ofTab.get("a")).toBe("1");
	ofTab.delete("a");
});
