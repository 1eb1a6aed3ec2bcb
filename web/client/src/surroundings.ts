/**
 * What the browser says of itself: offline, hidden, back again. In Node it says nothing, and nothing is asked of it.
 *
 * Knows the events of window and document, and what the browser offers; knows no streams.
 */

/** Whether the browser is sure that there is no network. That it is not sure means nothing. */
export function isOffline(): boolean {
	return typeof navigator !== "undefined" && navigator.onLine === false;
}

export function isHidden(): boolean {
	return typeof document !== "undefined" && document.visibilityState === "hidden";
}

/**
 * Whether tabs can find each other here. Web Locks and hashes want a secure context (https, or a loopback host); where the
 * browser keeps a page's storage from it, they are there and refuse.
 */
export async function canShareBetweenTabs(): Promise<boolean> {
	try {
		await navigator.locks.query();
		new BroadcastChannel("sse-push").close();
		return crypto.subtle !== undefined;
	} catch {
		return false;
	}
}

/**
 * Tells of changes until the function that is returned is called.
 *
 * @param onWake The network is back, the page is seen again, or it came out of the back/forward cache: what was waited
 *   for may be tried at once, and what seemed open may have died unnoticed.
 * @param onHidden The page is no longer seen.
 */
export function watchSurroundings(onWake: () => void, onHidden: () => void): () => void {
	if (typeof window === "undefined" || typeof document === "undefined") return () => {};
	const onVisibility = () => (isHidden() ? onHidden() : onWake());
	return listen([
		[window, "online", onWake],
		[window, "pageshow", onWake],
		[document, "visibilitychange", onVisibility],
		[document, "resume", onWake],
	]);
}

/**
 * Tells when the browser puts the page away, frozen or into the back/forward cache, and when it is back: each maybe twice, and the latter
 * when it is first shown, too.
 */
export function watchPageLife(onAway: () => void, onBack: () => void): () => void {
	return listen([
		[window, "pagehide", onAway],
		[window, "pageshow", onBack],
		[document, "freeze", onAway],
		[document, "resume", onBack],
	]);
}

function listen(ears: [EventTarget, string, (event: Event) => void][]): () => void {
	for (const [target, name, listener] of ears) target.addEventListener(name, listener);
	return () => {
		for (const [target, name, listener] of ears) target.removeEventListener(name, listener);
	};
}
