// A turn with a room's AI members: what one asks, what each answers, and the experience that one earns with them.

import { type FormEvent, useState } from "react";
import { Button, Field } from "../parts/controls.tsx";
import { time } from "../parts/format.ts";
import { useDesk } from "../parts/hooks.ts";
import { Icon } from "../parts/icon.tsx";
import { List } from "../parts/list.tsx";
import { Long } from "../parts/long.tsx";
import { Badge, Card, Empty, Notice, Page } from "../parts/panels.tsx";
import { Curl } from "../parts/sender.tsx";
import { type Exp, type Line, useMembers, useTurns } from "./turns.ts";

const LEVEL = 100; // exp of each level

export function GroupChatPage() {
	const { session } = useDesk();
	const [room, setRoom] = useState("general");
	const turns = useTurns();
	const none = useMembers(room);
	return (
		<Page title="Group chat" about="Ask a room's AI members. Each that answers gives you 5 exp with them.">
			<div className="columns">
				<List
					label="The conversation"
					newest="bottom"
					usual={72}
					items={turns.lines}
					keyOf={(line) => line.seq}
					draw={(line) => <Said line={line} me={session.who.id} />}
					empty={
						<Empty icon="group" title="Nobody has said anything">
							The members of the room answer what you ask them, each in their own way.
						</Empty>
					}
				/>
				<div className="stack">
					<Ask room={room} onRoom={setRoom} turns={turns} />
					<Experience exps={turns.exps} none={none} />
				</div>
			</div>
		</Page>
	);
}

function Said({ line, me }: { readonly line: Line; readonly me: string }) {
	if (line.kind === "note")
		return (
			<div className="turn-note" data-turn={line.tone}>
				<Badge tone={line.tone}>{line.who}</Badge> <span>{line.text}</span>
			</div>
		);
	const mine = line.kind === "user" && line.whoId === me;
	return (
		<article className={`message ${mine ? "mine" : ""} ${line.kind}`}>
			<h3>
				{line.kind === "ai" && <Icon name="spark" size={14} />}
				<bdi>{mine ? "You" : line.who}</bdi>
				<time>{time(line.at)}</time>
			</h3>
			<Long text={line.text} />
		</article>
	);
}

interface AskProps {
	readonly room: string;
	readonly onRoom: (room: string) => void;
	readonly turns: ReturnType<typeof useTurns>;
}

function Ask({ room, onRoom, turns }: AskProps) {
	const [message, setMessage] = useState("");
	const said = message || "What is a server-sent event?";
	const call = turns.callOf(room, said);
	const submit = async (event: FormEvent) => {
		event.preventDefault();
		setMessage("");
		await turns.ask(room, said);
	};
	return (
		<Card title="Send test" className="sender">
			<form onSubmit={(event) => void submit(event)}>
				<Field label="Room" required value={room} onValue={onRoom} maxLength={128} disabled={turns.busy} />
				<Field
					label="Message"
					rows={2}
					value={message}
					onValue={setMessage}
					placeholder="What is a server-sent event?"
				/>
				<div className="actions">
					{turns.busy ? (
						<Button icon="cross" onClick={turns.stop}>
							Stop listening
						</Button>
					) : (
						<Button type="submit" look="primary" icon="send">
							Send test
						</Button>
					)}
				</div>
				<div className="outcome" role="status">
					{turns.busy && <p className="thinking">The members are thinking…</p>}
					{turns.refused && (
						<Notice tone={turns.refused.status === 429 ? "warn" : "bad"}>
							<b>
								{turns.refused.status || ""} {turns.refused.problem.title}
							</b>
							<p>{turns.refused.problem.detail}</p>
						</Notice>
					)}
				</div>
			</form>
			<Curl call={call} />
		</Card>
	);
}

interface ExperienceProps {
	readonly exps: readonly Exp[];
	/** What to say where there are none. */
	readonly none: string;
}

function Experience({ exps, none }: ExperienceProps) {
	return (
		<Card title="Members and your exp">
			{exps.length ? (
				<ul className="exps">
					{exps.map((exp) => (
						<li key={exp.personaId} data-persona={exp.personaId}>
							<div>
								<b>{exp.personaName}</b>
								<Badge tone="info">Level {exp.newLevel}</Badge>
							</div>
							<progress max={LEVEL} value={exp.newExp % LEVEL} aria-label={`Exp with ${exp.personaName}`} />
							<small>
								{exp.newExp} exp, {LEVEL - (exp.newExp % LEVEL)} to level {exp.newLevel + 1}
								{exp.expIncrease > 0 && (
									<b className="gain" key={exp.newExp}>
										+{exp.expIncrease}
									</b>
								)}
							</small>
						</li>
					))}
				</ul>
			) : (
				<p className="hint">{none}</p>
			)}
		</Card>
	);
}
