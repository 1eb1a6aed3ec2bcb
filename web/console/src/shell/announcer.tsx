// What screen readers are told without being asked: that something came, at most every few seconds, however much.

import { useEffect, useRef, useState } from "react";
import { useCell, useDesk } from "../parts/hooks.ts";

const EVERY_MS = 6000;

export function Announcer() {
	const { live } = useDesk();
	const { state } = useCell(live.status);
	const told = useRef(0);
	const [text, setText] = useState("");
	useEffect(() => {
		const timer = setInterval(() => {
			const total = live.notifications.total() + live.chats.total() + live.realtime.total();
			const fresh = total - told.current;
			told.current = total;
			if (fresh > 0) setText(fresh === 1 ? "One new event" : `${fresh} new events`);
		}, EVERY_MS);
		return () => clearInterval(timer);
	}, [live]);
	return (
		<div className="unseen">
			{/* What is wrong with it is said by the notice above the page. */}
			<p role="status">{state === "open" ? "Connected" : ""}</p>
			<p role="status">{text}</p>
		</div>
	);
}
