// Topic `presence`, and friendships: who is online, who asks, who is asked. An administrator can make accounts here.

import { useCallback, useEffect, useState, useSyncExternalStore } from "react";
import type { Friend, FriendStatus } from "sse-push-client";
import type { Call } from "../api/curl.ts";
import { type Problem, send } from "../api/request.ts";
import { Button, Choice, Field } from "../parts/controls.tsx";
import { ago } from "../parts/format.ts";
import { useDesk, useNow } from "../parts/hooks.ts";
import { Badge, Card, Empty, Page } from "../parts/panels.tsx";
import { Outcome, Sender, type Sending, useSending } from "../parts/sender.tsx";
import { mayHaveAccount } from "../session/identity.ts";

const NO_ACCOUNT: Problem = {
	title: "You have no account here",
	detail: "",
	requestId: undefined,
	limit: undefined,
	retryAfter: undefined,
};
const EVERY_MS = 10_000; // who asks is not pushed: looked at again this often while the page is seen

export function PresencePage() {
	const { session } = useDesk();
	const { friends, problem, refresh } = useFriends();
	const changing = useSending();
	const admin = session.who.roles.includes("admin");
	return (
		<Page
			title="Presence"
			about="Which of your friends are here. They see you as online while the console is open."
		>
			<div className="columns">
				<div className="stack">
					{problem !== undefined && <NoFriends problem={problem} admin={admin} />}
					{friends !== undefined && <FriendLists friends={friends} changing={changing} onChanged={refresh} />}
					<Outcome sent={changing.sent?.answer.ok ? undefined : changing.sent} />
				</div>
				<div className="stack">
					{problem === undefined && <AskFriend onSent={refresh} />}
					{admin && <AddUser />}
				</div>
			</div>
		</Page>
	);
}

function useFriends() {
	const { session } = useDesk();
	const [friends, setFriends] = useState<readonly Friend[]>();
	const possible = mayHaveAccount(session.who);
	const [problem, setProblem] = useState<Problem | undefined>(possible ? undefined : NO_ACCOUNT);
	const refresh = useCallback(async () => {
		const answer = await send<readonly Friend[]>({ method: "GET", path: "/api/friends" }, session.token);
		setProblem(answer.ok ? undefined : answer.problem);
		if (!answer.ok) return answer.status !== 404 && answer.status !== 403;
		setFriends(answer.body);
		return true;
	}, [session]);
	useEffect(() => {
		if (!possible) return;
		let timer: ReturnType<typeof setTimeout>;
		let gone = false;
		const again = async () => {
			const worthwhile = document.hidden || (await refresh());
			if (!gone && worthwhile) timer = setTimeout(() => void again(), EVERY_MS);
		};
		void again();
		return () => {
			gone = true;
			clearTimeout(timer);
		};
	}, [refresh, possible]);
	return { friends, problem, refresh: () => void refresh() };
}

function NoFriends({ problem, admin }: { readonly problem: Problem; readonly admin: boolean }) {
	return (
		<div className="list-box vacant">
			<Empty icon="people" title={problem.detail || problem.title}>
				Friends are for users with an account in the service's database, who sign in by e-mail and password.
				{admin
					? " Make two, then sign in with one in each of two windows."
					: " An administrator makes accounts."}
			</Empty>
		</div>
	);
}

interface ListsProps {
	readonly friends: readonly Friend[];
	readonly changing: Sending;
	readonly onChanged: () => void;
}

function FriendLists({ friends, changing, onChanged }: ListsProps) {
	const { live } = useDesk();
	const { friends: byId } = useSyncExternalStore(live.friends.watch, live.friends.snapshot);
	const now = useNow(5000);
	const change = async (call: Call) => {
		await changing.send(call);
		onChanged();
	};
	if (!friends.length)
		return (
			<div className="list-box vacant">
				<Empty icon="people" title="No friends yet">
					Ask somebody by their user id. Once they have asked you too, each sees whether the other is online.
				</Empty>
			</div>
		);
	const accepted = friends.filter(({ state }) => state === "accepted");
	const online = accepted.filter(({ user_id }) => byId[user_id]?.is_online).length;
	const groups = [
		["asked", "Would like to be friends"],
		["accepted", `Friends, ${online} online`],
		["requested", "Not answered yet"],
	] as const;
	return groups.map(([state, title]) => {
		const some = friends.filter((friend) => friend.state === state);
		if (!some.length) return null;
		return (
			<Card key={state} title={title}>
				<ul className="friends">
					{some.map((friend) => (
						<FriendRow
							key={friend.user_id}
							friend={friend}
							presence={byId[friend.user_id]}
							now={now}
							busy={changing.busy}
							onChange={(call) => void change(call)}
						/>
					))}
				</ul>
			</Card>
		);
	});
}

interface RowProps {
	readonly friend: Friend;
	readonly presence: FriendStatus | undefined;
	readonly now: number;
	readonly busy: boolean;
	readonly onChange: (call: Call) => void;
}

function FriendRow({ friend, presence, now, busy, onChange }: RowProps) {
	const { user_id, state } = friend;
	const name = nameOf(friend);
	const path = `/api/friends/${user_id}`;
	const online = state === "accepted" && presence?.is_online === true;
	return (
		<li data-friend={user_id} data-online={online}>
			<span className={online ? "avatar online" : "avatar"} aria-hidden="true">
				{[...name][0]?.toUpperCase()}
			</span>
			<div>
				<b dir="auto">{name}</b>
				<small>
					{state === "accepted" ? saidOf(presence, now) : state === "asked" ? "asks you" : "asked by you"} ·{" "}
					{user_id}
				</small>
			</div>
			{state === "asked" && (
				<Button small look="primary" disabled={busy} onClick={() => onChange({ method: "PUT", path })}>
					Accept<span className="unseen"> {name}</span>
				</Button>
			)}
			<Button small look="quiet" disabled={busy} onClick={() => onChange({ method: "DELETE", path })}>
				{state === "asked" ? "Decline" : state === "requested" ? "Withdraw" : "Remove"}
				<span className="unseen"> {name}</span>
			</Button>
		</li>
	);
}

/** Who has not asked too is not named. */
function nameOf({ name, user_id }: Friend) {
	return name ?? `User ${user_id}`;
}

function saidOf(presence: FriendStatus | undefined, now: number) {
	if (presence === undefined) return "waiting to hear";
	if (!presence.is_online) return presence.last_seen ? `seen ${ago(presence.last_seen, now)}` : "offline";
	return <Badge tone="ok">online</Badge>;
}

function AskFriend({ onSent }: { readonly onSent: () => void }) {
	const [user, setUser] = useState("");
	const call = { method: "PUT", path: `/api/friends/${encodeURIComponent(user || "2")}` };
	return (
		<Sender
			title="Ask a friend"
			button="Ask"
			call={call}
			onSent={onSent}
			says={(body) => {
				const friend = body as Friend;
				const name = nameOf(friend);
				return friend.state === "accepted" ? `You and ${name} are friends now` : `Asked ${name}`;
			}}
		>
			<Field label="User id" required value={user} onValue={setUser} placeholder="2" inputMode="numeric" />
		</Sender>
	);
}

function AddUser() {
	const [name, setName] = useState("");
	const [email, setEmail] = useState("");
	const [password, setPassword] = useState("");
	const [role, setRole] = useState<"user" | "admin">("user");
	const call = { method: "POST", path: "/api/users", body: { name, email, password, role } };
	return (
		<Sender
			title="Make an account"
			button="Make it"
			call={call}
			says={(body) => (
				<>
					<bdi>{name}</bdi> is user <code>{(body as { id: number }).id}</code>
				</>
			)}
		>
			<Field label="Name" required value={name} onValue={setName} />
			<Field label="E-mail" required type="email" value={email} onValue={setEmail} />
			<Field
				label="Password"
				required
				type="password"
				autoComplete="new-password"
				value={password}
				onValue={setPassword}
			/>
			<Choice
				label="Role"
				value={role}
				onValue={setRole}
				options={[
					["user", "User"],
					["admin", "Admin"],
				]}
			/>
		</Sender>
	);
}
