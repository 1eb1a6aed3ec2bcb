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

/** Whether tabs can find each other here: Web Locks and hashes want a secure context (https, or a loopback host). */
export function canShareBetweenTabs(): boolean {
	return (
		typeof window !== "undefined" &&
		typeof BroadcastChannel === "function" &&
		typeof navigator.locks?.request === "function" &&
		typeof crypto.subtle?.digest === "function"
	);
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
	window.addEventListener("online", onWake);
	window.addEventListener("pageshow", onWake);
	document.addEventListener("visibilitychange", onVisibility);
	document.addEventListener("resume", onWake);
	return () => {
		window.removeEventListener("online", onWake);
		window.removeEventListener("pageshow", onWake);
		document.removeEventListener("visibilitychange", onVisibility);
		document.removeEventListener("resume", onWake);
	};
}
