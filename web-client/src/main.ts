import './styles.css';
// The first thing that a page does, before the modules it is made of have run.
import { enterEarly, placeOf } from './live/early';

const place = placeOf(location.hash);
if (place !== null) enterEarly(place);

void import('./app');
if (place !== null) void import('./views/ClassroomView.vue');
