// What forms are made of: buttons, fields with their labels, choices of one or of some.

import { type ComponentProps, type ReactNode, useId, useState } from "react";
import { Icon, type IconName } from "./icon.tsx";

interface ButtonProps extends ComponentProps<"button"> {
	readonly look?: "primary" | "plain" | "quiet";
	readonly icon?: IconName;
	readonly small?: boolean;
}

export function Button({ look = "plain", icon, small, children, className = "", ...more }: ButtonProps) {
	const classes = `button ${look} ${small ? "small" : ""} ${children ? "" : "bare"} ${className}`;
	return (
		<button type="button" className={classes} {...more}>
			{icon && <Icon name={icon} size={small ? 15 : 17} />}
			{children}
		</button>
	);
}

interface FieldProps extends Omit<ComponentProps<"input">, "onChange" | "value"> {
	readonly label: string;
	readonly value: string;
	readonly onValue: (value: string) => void;
	readonly hint?: ReactNode;
	readonly error?: string | undefined;
	readonly rows?: number;
}

export function Field({ label, value, onValue, hint, error, rows, ...more }: FieldProps) {
	const id = useId();
	const about = hint || error ? `${id}-about` : undefined;
	const usual = { id, value, "aria-describedby": about, "aria-invalid": error ? true : undefined };
	return (
		<div className="field">
			<label htmlFor={id}>{label}</label>
			{rows ? (
				<textarea
					{...usual}
					rows={rows}
					required={more.required}
					placeholder={more.placeholder}
					spellCheck={more.spellCheck ?? false}
					onChange={(event) => onValue(event.target.value)}
				/>
			) : (
				<input
					autoComplete="off"
					autoCapitalize="none"
					spellCheck={false}
					{...more}
					{...usual}
					onChange={(event) => onValue(event.target.value)}
				/>
			)}
			{about && (
				<p id={about} className={error ? "hint wrong" : "hint"}>
					{error ?? hint}
				</p>
			)}
		</div>
	);
}

interface ChoiceProps<Value extends string> {
	readonly label: string;
	readonly value: Value;
	readonly options: readonly (readonly [value: Value, text: string])[];
	readonly onValue: (value: Value) => void;
	readonly hideLabel?: boolean;
}

/** One of a few, all in sight: radio buttons that look like one control. */
export function Choice<Value extends string>({
	label,
	value,
	options,
	onValue,
	hideLabel,
}: ChoiceProps<Value>) {
	const name = useId();
	return (
		<fieldset className="choice">
			<legend className={hideLabel ? "unseen" : ""}>{label}</legend>
			<div className="segments">
				{options.map(([one, text]) => (
					<label key={one}>
						<input type="radio" name={name} checked={one === value} onChange={() => onValue(one)} />
						<span>{text}</span>
					</label>
				))}
			</div>
		</fieldset>
	);
}

interface ChipsProps {
	readonly label: string;
	readonly values: readonly string[];
	readonly options: readonly string[];
	readonly onValues: (values: readonly string[]) => void;
}

/** Some of a few. */
export function Chips({ label, values, options, onValues }: ChipsProps) {
	const toggled = (one: string) =>
		values.includes(one) ? values.filter((other) => other !== one) : [...values, one];
	return (
		<fieldset className="choice">
			<legend>{label}</legend>
			<div className="chips">
				{options.map((one) => (
					<label key={one}>
						<input type="checkbox" checked={values.includes(one)} onChange={() => onValues(toggled(one))} />
						<span>{one}</span>
					</label>
				))}
			</div>
		</fieldset>
	);
}

/** Copies *text*; says so for a moment. */
export function CopyButton({ text, label = "Copy" }: { readonly text: string; readonly label?: string }) {
	const [copied, setCopied] = useState(false);
	const copy = async () => {
		try {
			await navigator.clipboard.writeText(text);
			setCopied(true);
			setTimeout(() => setCopied(false), 1500);
		} catch {
			// Not allowed here (no https): the text stands beside the button, to be selected.
		}
	};
	return (
		<Button look="quiet" small icon={copied ? "check" : "copy"} onClick={() => void copy()}>
			{copied ? "Copied" : label}
		</Button>
	);
}
