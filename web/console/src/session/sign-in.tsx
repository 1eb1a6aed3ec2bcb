// Signing in: as a demo user made up here, with an account, or with a token from elsewhere. The service is asked
// whether it takes the token before anything else is shown.

import { type FormEvent, useState } from "react";
import { type Answer, send } from "../api/request.ts";
import { Button, Chips, Choice, Field } from "../parts/controls.tsx";
import { sentence } from "../parts/format.ts";
import { Notice } from "../parts/panels.tsx";
import { Mark } from "../shell/mark.tsx";
import { ThemeButton } from "../shell/theme-button.tsx";
import { demoToken, identityOf } from "./identity.ts";
import { type Session, sessionOf } from "./session.ts";

type Way = "demo" | "account" | "token";

const WAYS = [
	["demo", "Demo user"],
	["account", "Account"],
	["token", "Token"],
] as const;

interface SignInProps {
	readonly why: string | undefined;
	readonly onSession: (session: Session) => void;
}

export function SignIn({ why, onSession }: SignInProps) {
	const [way, setWay] = useState<Way>("demo");
	const [wrong, setWrong] = useState<string>();
	const [busy, setBusy] = useState(false);
	/** Try what *token* gives. */
	const enter = async (token: () => Promise<string | Answer>) => {
		setBusy(true);
		setWrong(undefined);
		const got = await token();
		const refused = typeof got === "string" ? await refusalOf(got) : said(got);
		setBusy(false);
		if (typeof got === "string" && refused === undefined) onSession(sessionOf(got));
		else setWrong(refused);
	};
	const Form = { demo: DemoForm, account: AccountForm, token: TokenForm }[way];
	return (
		<main className="sign-in">
			<div className="sign-in-side">
				<Mark size={44} />
				<p className="lead">
					Watch events arrive, send some, and see what happens when the connection breaks.
				</p>
				<SideWave />
			</div>
			<div className="sign-in-main">
				<div className="sign-in-tools">
					<ThemeButton />
				</div>
				<div className="sign-in-box">
					<h1>Sign in</h1>
					{why && <Notice tone="info">{why}</Notice>}
					<Choice label="How to sign in" hideLabel value={way} options={WAYS} onValue={setWay} />
					<Form busy={busy} enter={enter} />
					<div role="alert">{wrong && <Notice tone="bad">{wrong}</Notice>}</div>
					<p className="hint">
						The token stays in this tab, and is gone with it. New here? See the{" "}
						<a href="docs">API description</a>.
					</p>
				</div>
			</div>
		</main>
	);
}

async function refusalOf(token: string): Promise<string | undefined> {
	const answer = await send({ method: "GET", path: "/sse/status" }, token);
	if (!answer.ok && answer.status === 401 && identityOf(token)?.kind === "demo")
		return "The service does not take this token. Demo tokens work only where it runs in demo mode.";
	return said(answer);
}

function said(answer: Answer): string | undefined {
	return answer.ok ? undefined : sentence(answer.problem.detail || answer.problem.title);
}

interface FormProps {
	readonly busy: boolean;
	readonly enter: (token: () => Promise<string | Answer>) => Promise<void>;
}

function DemoForm({ busy, enter }: FormProps) {
	const [id, setId] = useState("mira");
	const [name, setName] = useState("Mira");
	const [email, setEmail] = useState("mira@example.com");
	const [roles, setRoles] = useState<readonly string[]>(["user", "admin"]);
	const colon = [id, name, email].some((part) => part.includes(":"));
	const submit = (event: FormEvent) => {
		event.preventDefault();
		void enter(async () => demoToken(id.trim(), name.trim(), email.trim(), roles));
	};
	return (
		<form onSubmit={submit}>
			<div className="pair">
				<Field label="User id" required value={id} onValue={setId} maxLength={128} />
				<Field label="Name" value={name} onValue={setName} />
			</div>
			<Field
				label="E-mail"
				type="email"
				value={email}
				onValue={setEmail}
				error={colon ? "A colon can't be part of a demo token's fields." : undefined}
			/>
			<Chips label="Roles" values={roles} options={["user", "admin", "service"]} onValues={setRoles} />
			<Button type="submit" look="primary" disabled={busy || colon || !id.trim()}>
				Continue
			</Button>
		</form>
	);
}

function AccountForm({ busy, enter }: FormProps) {
	const [email, setEmail] = useState("");
	const [password, setPassword] = useState("");
	const login = async () => {
		const call = { method: "POST", path: "/api/auth/login/json", body: { email, password }, anonymous: true };
		const answer = await send<{ access_token: string }>(call, undefined);
		return answer.ok ? answer.body.access_token : answer;
	};
	const submit = (event: FormEvent) => {
		event.preventDefault();
		void enter(login);
	};
	return (
		<form onSubmit={submit}>
			<Field label="E-mail" type="email" required value={email} onValue={setEmail} autoComplete="username" />
			<Field
				label="Password"
				type="password"
				required
				value={password}
				onValue={setPassword}
				autoComplete="current-password"
				hint="An administrator makes accounts."
			/>
			<Button type="submit" look="primary" disabled={busy}>
				Continue
			</Button>
		</form>
	);
}

function TokenForm({ busy, enter }: FormProps) {
	const [token, setToken] = useState("");
	const given = token.replace(/\s/g, ""); // it may have been wrapped where it was copied from
	const who = given ? identityOf(given) : undefined;
	const hint = who
		? `Names ${who.name} (${who.id}), ${who.roles.join(", ") || "no roles"}.`
		: "A JWT, or a demo token: base64 of id:name:email:role,role.";
	const submit = (event: FormEvent) => {
		event.preventDefault();
		void enter(async () => given);
	};
	return (
		<form onSubmit={submit}>
			<Field label="Token" required rows={5} value={token} onValue={setToken} hint={hint} />
			<Button type="submit" look="primary" disabled={busy || !given}>
				Continue
			</Button>
		</form>
	);
}

function SideWave() {
	return (
		<svg
			className="wave"
			viewBox="0 0 400 120"
			preserveAspectRatio="none"
			aria-hidden="true"
			focusable="false"
		>
			<path d="M0 60h60l14-34 22 72 22-90 20 78 12-26h60l10-18 16 40 14-30 10 8h140" />
		</svg>
	);
}
