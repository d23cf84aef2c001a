import { createI18n } from 'vue-i18n';
import { memory } from '../live/memory';
import { en } from './en';
import { type Messages, zh } from './zh';

export type Language = 'zh' | 'en';

/** Chinese first; English only where it was asked for on this device. */
export const i18n = createI18n<[Messages], Language, false>({
  legacy: false,
  locale: memory.language() === 'en' ? 'en' : 'zh',
  fallbackLocale: 'zh',
  messages: { zh, en },
});

export function speak(language: Language): void {
  i18n.global.locale.value = language;
  document.documentElement.lang = language === 'zh' ? 'zh-CN' : 'en';
  memory.rememberLanguage(language);
}
