// A line over time, drawn as SVG: a filled curve, the largest value, the newest. Nothing to install for that.

import { useId } from "react";

const WIDTH = 600;
const HEIGHT = 132;
const TOP = 10;

interface ChartProps {
	readonly title: string;
	/** Oldest first. */
	readonly values: readonly number[];
	readonly show: (value: number) => string;
	/** What the time between two values is, for screen readers: "5 s". */
	readonly every: string;
}

export function Chart({ title, values, show, every }: ChartProps) {
	const id = useId();
	const most = ceiling(Math.max(...values, 0));
	const last = values.at(-1);
	const points = values.map((value, index) => {
		const x = values.length < 2 ? WIDTH : (index / (values.length - 1)) * WIDTH;
		return `${x.toFixed(1)},${(HEIGHT - (value / most) * (HEIGHT - TOP)).toFixed(1)}`;
	});
	const line = points.length === 1 ? `0,${points[0]?.split(",")[1]} ${points[0]}` : points.join(" ");
	const says =
		last === undefined ? "no values yet" : `now ${show(last)}, at most ${show(Math.max(...values))}`;
	return (
		<figure className="chart">
			<figcaption>
				<span>{title}</span>
				<b>{last === undefined ? "–" : show(last)}</b>
			</figcaption>
			<svg
				viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
				preserveAspectRatio="none"
				role="img"
				aria-label={`${title}: ${values.length} values, one each ${every}; ${says}.`}
			>
				<defs>
					<linearGradient id={id} x1="0" y1="0" x2="0" y2="1">
						<stop offset="0" className="fill-from" />
						<stop offset="1" className="fill-to" />
					</linearGradient>
				</defs>
				{[0, 0.5, 1].map((part) => {
					const y = TOP + part * (HEIGHT - TOP - 1);
					return <line key={part} className="grid" x1="0" x2={WIDTH} y1={y} y2={y} />;
				})}
				{last !== undefined && (
					<>
						<polygon points={`0,${HEIGHT} ${line} ${WIDTH},${HEIGHT}`} fill={`url(#${id})`} />
						<polyline points={line} />
					</>
				)}
			</svg>
			<div className="axis" aria-hidden="true">
				<span>{show(most)}</span>
				<span>{show(most / 2) === show(most) ? "" : show(most / 2)}</span>
				<span>0</span>
			</div>
		</figure>
	);
}

/** The next of 1, 2, 5 times a power of ten, so that the scale does not change with each value. */
function ceiling(value: number): number {
	if (value <= 0) return 1;
	const power = 10 ** Math.floor(Math.log10(value));
	const step = [1, 2, 4, 5, 8, 10].find((one) => one * power >= value) ?? 10;
	return step * power;
}
