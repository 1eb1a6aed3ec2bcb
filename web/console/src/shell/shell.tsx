// What stands around every page: who is signed in, the tabs, the connection.

import { type ComponentType, useEffect, useRef, useState } from "react";
import { ChatPage } from "../pages/chat.tsx";
import { GroupChatPage } from "../pages/group-chat.tsx";
import { InspectorPage } from "../pages/inspector.tsx";
import { NotificationsPage } from "../pages/notifications.tsx";
import { PresencePage } from "../pages/presence.tsx";
import { RealtimePage } from "../pages/realtime.tsx";
import { RedirectPage } from "../pages/redirect.tsx";
import { SystemPage } from "../pages/system.tsx";
import { Button } from "../parts/controls.tsx";
import { Guard } from "../parts/guard.tsx";
import { useDesk } from "../parts/hooks.ts";
import { Icon } from "../parts/icon.tsx";
import { Announcer } from "./announcer.tsx";
import { Mark } from "./mark.tsx";
import { Notices } from "./notices.tsx";
import { StatusBar } from "./status-bar.tsx";
import { TABS, type TabName, useTab } from "./tabs.ts";
import { ThemeButton } from "./theme-button.tsx";
import { Unread } from "./unread.tsx";

const PAGES: Record<TabName, ComponentType> = {
	notifications: NotificationsPage,
	realtime: RealtimePage,
	chat: ChatPage,
	"group-chat": GroupChatPage,
	presence: PresencePage,
	system: SystemPage,
	redirect: RedirectPage,
	inspector: InspectorPage,
};

export function Shell() {
	const { session, signOut } = useDesk();
	const tab = useTab();
	const PageOfTab = PAGES[tab];
	const [main, nav] = useFresh(tab);
	return (
		<div className="shell">
			<a className="skip" href="#content">
				Skip to the content
			</a>
			<header className="top">
				<Mark />
				<StatusBar />
				<div className="tools">
					<ThemeButton />
					<a className="button quiet bare" href="docs" aria-label="API description" title="API description">
						<Icon name="book" />
					</a>
					<Button
						look="quiet"
						icon="leave"
						aria-label="Sign out"
						title="Sign out"
						onClick={() => signOut()}
					/>
				</div>
			</header>
			<nav className="tabs" aria-label="Tabs" ref={nav}>
				<ul>
					{TABS.map(({ name, title, icon }) => (
						<li key={name}>
							<a href={`#/${name}`} aria-current={name === tab ? "page" : undefined}>
								<Icon name={icon} size={20} />
								<span>{title}</span>
								<Unread tab={name} here={name === tab} />
							</a>
						</li>
					))}
				</ul>
				<Who name={session.who.name} id={session.who.id} roles={session.who.roles} />
			</nav>
			<main id="content" tabIndex={-1} ref={main}>
				<Notices />
				<Guard key={tab}>
					<PageOfTab />
				</Guard>
			</main>
			<Announcer />
		</div>
	);
}

/** A page begins at its top, and its link is in sight where a phone shows a few of them. */
function useFresh(tab: TabName) {
	const main = useRef<HTMLElement>(null);
	const nav = useRef<HTMLElement>(null);
	// biome-ignore lint/correctness/useExhaustiveDependencies: with each tab
	useEffect(() => {
		main.current?.scrollTo(0, 0);
		nav.current?.querySelector("[aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });
	}, [tab]);
	return [main, nav] as const;
}

interface WhoProps {
	readonly name: string;
	readonly id: string;
	readonly roles: readonly string[];
}

function Who({ name, id, roles }: WhoProps) {
	const [initial] = useState(() => [...name][0]?.toUpperCase() ?? "?");
	return (
		<div className="who">
			<span className="avatar" aria-hidden="true">
				{initial}
			</span>
			<div>
				<b>{name}</b>
				<small>
					{id} · {roles.join(", ") || "no roles"}
				</small>
			</div>
		</div>
	);
}
