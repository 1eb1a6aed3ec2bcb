// How much has come for a tab since it was last looked at.

import { useEffect, useState } from "react";
import type { Feed } from "../live/feed.ts";
import type { Live } from "../live/live.ts";
import { useDesk, useTotal } from "../parts/hooks.ts";
import type { TabName } from "./tabs.ts";

function feedOf(live: Live, tab: TabName): Feed<unknown> | undefined {
	if (tab === "notifications") return live.notifications;
	if (tab === "realtime") return live.realtime;
	return tab === "chat" ? live.chats : undefined;
}

export function Unread({ tab, here }: { readonly tab: TabName; readonly here: boolean }) {
	const feed = feedOf(useDesk().live, tab);
	return feed === undefined ? null : <UnreadOf feed={feed} here={here} />;
}

function UnreadOf({ feed, here }: { readonly feed: Feed<unknown>; readonly here: boolean }) {
	const total = useTotal(feed);
	const [seen, setSeen] = useState(total);
	useEffect(() => {
		if (here) setSeen(total);
	}, [here, total]);
	if (here || total <= seen) return null;
	const unread = total - seen;
	return (
		<span className="unread">
			{unread > 99 ? "99+" : unread}
			<span className="unseen"> unread</span>
		</span>
	);
}
