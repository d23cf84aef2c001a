// The first thing that a page does, before the modules it is made of have run.
import { enterEarly, placeOf } from './early';

const place = placeOf(location.hash);
if (place !== null) {
  enterEarly(place);
  // Its code, or where that is at hand already, its styles: the router asks for them once it has begun.
  void import('../views/ClassroomView.vue');
}
