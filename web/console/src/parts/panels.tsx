// What pages are laid out with: their heads, cards, notices, and what stands where nothing is yet.

import { type ReactNode, useEffect, useId, useRef } from "react";
import { Button } from "./controls.tsx";
import { Icon, type IconName } from "./icon.tsx";

interface PageProps {
	readonly title: string;
	readonly about: ReactNode;
	readonly actions?: ReactNode;
	readonly children: ReactNode;
}

/** A page's heading takes the focus when the page is gone to, so that keyboards and screen readers begin there. */
export function Page({ title, about, actions, children }: PageProps) {
	const heading = useRef<HTMLHeadingElement>(null);
	useEffect(() => {
		document.title = `${title} · sse-push`;
		if (document.activeElement?.closest("nav")) heading.current?.focus({ preventScroll: true });
	}, [title]);
	return (
		<div className="page">
			<header className="page-head">
				<div>
					<h1 ref={heading} tabIndex={-1}>
						{title}
					</h1>
					<p>{about}</p>
				</div>
				{actions && <div className="actions">{actions}</div>}
			</header>
			{children}
		</div>
	);
}

interface CardProps {
	readonly title: ReactNode;
	readonly aside?: ReactNode;
	readonly children: ReactNode;
	readonly className?: string;
}

export function Card({ title, aside, children, className = "" }: CardProps) {
	const id = useId();
	return (
		<section className={`card ${className}`} aria-labelledby={id}>
			<header>
				<h2 id={id}>{title}</h2>
				{aside && <div className="aside">{aside}</div>}
			</header>
			{children}
		</section>
	);
}

export type Tone = "ok" | "info" | "warn" | "bad" | "idle";

const SIGNS: Record<Tone, IconName> = { ok: "check", info: "info", warn: "warn", bad: "warn", idle: "info" };

interface NoticeProps {
	readonly tone: Tone;
	readonly children: ReactNode;
	readonly actions?: ReactNode;
	readonly onClose?: () => void;
}

export function Notice({ tone, children, actions, onClose }: NoticeProps) {
	return (
		<div className={`notice ${tone}`}>
			<Icon name={SIGNS[tone]} />
			<div className="says">{children}</div>
			{actions}
			{onClose && <Button look="quiet" small icon="cross" aria-label="Dismiss" onClick={onClose} />}
		</div>
	);
}

export function Badge({ tone, children }: { readonly tone: Tone; readonly children: ReactNode }) {
	return <span className={`badge ${tone}`}>{children}</span>;
}

interface EmptyProps {
	readonly icon: IconName;
	readonly title: string;
	readonly children: ReactNode;
}

export function Empty({ icon, title, children }: EmptyProps) {
	return (
		<div className="empty">
			<span className="ring">
				<Icon name={icon} size={26} />
			</span>
			<p className="title">{title}</p>
			<p>{children}</p>
		</div>
	);
}

/** Text to copy or to read letter by letter. It may scroll, and what scrolls must be reachable by keyboard. */
export function Code({ children }: { readonly children: string }) {
	// biome-ignore lint/a11y/noNoninteractiveTabindex: a place that scrolls takes the focus to be scrolled by keys
	return <pre tabIndex={0}>{children}</pre>;
}
