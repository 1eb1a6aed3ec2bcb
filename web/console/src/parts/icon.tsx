// The icons, drawn on a grid of 24 with one stroke. They say nothing to screen readers: what they stand beside does.

const PATHS = {
	bell: "M6 9a6 6 0 0 1 12 0c0 6 2.5 7.5 2.5 7.5h-17S6 15 6 9M10 20a2.2 2.2 0 0 0 4 0",
	pulse: "M2.5 12H7l3-7.5 4.5 15 3-7.5h4",
	chat: "M4 5.5h16v11H11l-4.5 3.5v-3.5H4z",
	group: "M5 4.5h14v10h-7l-4 3v-3H5zM9 9.5h.01M12 9.5h.01M15 9.5h.01M8 20.5h8",
	people:
		"M9 11.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7M2.5 20c.5-3.5 3-5.5 6.5-5.5s6 2 6.5 5.5M16 5a3.3 3.3 0 0 1 0 6M18 14.8c2 .7 3.2 2.5 3.5 5.2",
	gauge: "M4 18.5a9 9 0 1 1 16 0M12 14l4-5M12 14h.01",
	redirect: "M13 5h6v6M19 5l-9 9M15 14v5H5V9h5",
	inspect: "M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13M15.5 15.5 21 21",
	sun: "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8M12 2.5v2M12 19.500v2M2.5 12h2M19.5 12h2M5.3 5.300l1.4 1.400M17.3 17.300l1.4 1.400M5.3 18.700l1.4-1.400M17.3 6.700l1.4-1.4",
	moon: "M20 14.500A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5",
	auto: "M12 3.500a8.5 8.5 0 1 0 0 17zM12 3.500a8.5 8.5 0 0 1 0 17",
	leave: "M14 4.500H5v15h9M10.5 12H21M17 8l4 4-4 4",
	send: "M3.5 11.5 20.5 4l-5 16.5-4-6.500z",
	copy: "M9 9h11v11H9zM5.5 15H4V4h11v1.5",
	check: "M4.5 12.5 10 18 20 6.5",
	warn: "M12 4 2.5 20h19zM12 10v4.500M12 17.500h.01",
	info: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18M12 11v5.500M12 7.500h.01",
	cross: "M6 6l12 12M18 6 6 18",
	plus: "M12 5v14M5 12h14",
	pause: "M8 5v14M16 5v14",
	play: "M7 4.5 19 12 7 19.500z",
	trash: "M4 6.500h16M9 6V4h6v2M6 6.5 7 20h10l1-13.5",
	again: "M20 11a8 8 0 0 0-14.5-4L3.5 9M3.5 4v5h5M4 13a8 8 0 0 0 14.5 4l2-2M20.5 20v-5h-5",
	link: "M10 14a4 4 0 0 0 6 .5l3-3a4 4 0 0 0-6-6l-1 1M14 10a4 4 0 0 0-6-.5l-3 3a4 4 0 0 0 6 6l1-1",
	book: "M12 6.500C10 5 7.5 4.5 4 4.500v14c3.5 0 6 .5 8 2 2-1.5 4.5-2 8-2v-14c-3.5 0-6 .5-8 2zM12 6.500v14",
	spark: "M12 3.5 14 10l6.5 2-6.5 2-2 6.500L10 14l-6.5-2L10 10z",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 18 }: { readonly name: IconName; readonly size?: number }) {
	return (
		<svg className="icon" width={size} height={size} viewBox="0 0 24 24" aria-hidden="true" focusable="false">
			<path d={PATHS[name]} />
		</svg>
	);
}
