// Light, dark, or as the system: one button that goes round.

import { useState } from "react";
import { Button } from "../parts/controls.tsx";
import { chooseTheme, nextTheme, rememberedTheme } from "../session/theme.ts";

const LOOKS = {
	auto: ["auto", "as the system"],
	light: ["sun", "light"],
	dark: ["moon", "dark"],
} as const;

export function ThemeButton() {
	const [theme, setTheme] = useState(rememberedTheme);
	const [icon, text] = LOOKS[theme];
	const change = () => {
		chooseTheme(nextTheme(theme));
		setTheme(nextTheme(theme));
	};
	const says = `Colours: ${text}. Change`;
	return <Button look="quiet" icon={icon} onClick={change} aria-label={says} title={says} />;
}
